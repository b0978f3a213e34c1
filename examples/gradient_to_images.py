# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One gradient to images
#
# A task-learner of federated meta-learning keeps its images and sends one meta-gradient.
# Through a network whose first layer is fully connected, that gradient holds the images.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import mamljax
from mamljax.data import load_dataset, split_dataset
from mamljax.recovery import recover_images

WAYS = 3
network = mamljax.make_network('mlp', ways=WAYS)
params = mamljax.init_params(jax.random.key(0), network, (28, 28, 1))
loss_fn = mamljax.CrossEntropy(network)

# %% [markdown]
# The learner's side: three classes, one image of each in its support and in its query set. It
# adapts by one step on the support set and sends the exact gradient of its query loss.

# %%
pools = split_dataset(load_dataset('mnist_sample'), seed=0)
task = mamljax.sample_task(jax.random.key(1), jax.device_put(pools.victims), ways=WAYS, shots=1)
gradient = mamljax.meta_gradient(loss_fn, params, task, mamljax.InnerLoop(1, 0.1))
print(jax.tree.map(jnp.shape, gradient))

# %% [markdown]
# The gradient of the first layer is a sum over images of outer products, so that its columns
# lie in the span of the images. It has as many singular values as there are images, six.

# %%
first = gradient['Dense_0']
matrix = jnp.concatenate([first['kernel'], first['bias'][None]])
values = jnp.linalg.svd(matrix, compute_uv=False)
plt.semilogy(range(1, 13), values[:12], 'o')
plt.xlabel('number')
plt.ylabel('singular value')
plt.show()

# %% [markdown]
# A ReLU is silent for about half of the images, and which units are silent tells the images
# apart. Nothing but the network, its parameters and the gradient goes in:

# %%
found = recover_images(
  jax.random.key(2), loss_fn, params, gradient, (28, 28, 1), count=2 * WAYS
)
print('outside [0, 1] by', found.outside)

# %% [markdown]
# Above the learner's images, below what was read off, in the order that fits.

# %%
images = jnp.concatenate([task.support.images, task.query.images])
apart = jnp.sum((images[:, None] - found.images) ** 2, axis=(2, 3, 4))
figure, axes = plt.subplots(2, 2 * WAYS, figsize=(9, 3.2))
for column, image in enumerate(images):
  axes[0, column].imshow(image[..., 0], cmap='gray')
  axes[1, column].imshow(found.images[apart[column].argmin()][..., 0], cmap='gray')
for panel in axes.flat:
  panel.axis('off')
plt.show()
print('largest error of a pixel:', jnp.abs(images - found.images[apart.argmin(axis=1)]).max())
