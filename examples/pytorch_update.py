"""A PyTorch learner's update, by files: its weights and gradient, read and audited in JAX."""

import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

import mamljax
from mamljax.data import load_dataset, split_dataset

RATE, WAYS, DIGITS = 0.1, 3, [2, 5, 7]
pools = split_dataset(load_dataset('mnist_sample'), seed=0, fractions=(0.7, 0.1, 0.1, 0.1))
folder = Path(tempfile.mkdtemp())


def images_of(pool, rows):
  """Images of the three digits, [3 * rows, 28, 28, 1], in [0, 1]."""
  places = [pool.starts[digit] + row for digit in DIGITS for row in rows]
  return np.asarray(pool.images[np.array(places)]) / np.float32(255)


# --- The learner, in PyTorch. -------------------------------------------------------------
torch.manual_seed(0)
peer = torch.nn.Sequential(
  torch.nn.Conv2d(1, 8, 3, padding=1, stride=2),
  torch.nn.ReLU(),
  torch.nn.Flatten(),
  torch.nn.Linear(8 * 14 * 14, 64),
  torch.nn.ReLU(),
  torch.nn.Linear(64, WAYS),
)
names, weights = zip(*peer.named_parameters(), strict=True)
support, query = (
  torch.tensor(np.moveaxis(images_of(pools.victims, [row]), -1, 1)) for row in (0, 1)
)


def task_loss(weights, images):
  """Cross-entropy of a set with one image of each class."""
  logits = functional_call(peer, dict(zip(names, weights, strict=True)), (images,))
  return cross_entropy(logits, torch.arange(WAYS))


slopes = torch.autograd.grad(task_loss(weights, support), weights, create_graph=True)
adapted = [w - RATE * slope for w, slope in zip(weights, slopes, strict=True)]
gradient = torch.autograd.grad(task_loss(adapted, query), weights)
torch.save(peer.state_dict(), folder / 'weights.pt')
torch.save(dict(zip(names, gradient, strict=True)), folder / 'gradient.pt')


# --- Whoever received it, in JAX. ---------------------------------------------------------
class Net(nn.Module):
  """The same network; PyTorch's padding=1 of a stride is not JAX's SAME."""

  @nn.compact
  def __call__(self, images):
    """The logits of images [n, 28, 28, 1]."""
    x = nn.relu(nn.Conv(8, (3, 3), strides=2, padding=((1, 1), (1, 1)))(images))
    x = nn.relu(nn.Dense(64)(x.reshape(len(x), -1)))
    return nn.Dense(WAYS)(x)


net = Net()
like = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
flatten = (8, 14, 14)  # channels, height, width of what PyTorch flattens
params = mamljax.io.load(folder / 'weights.pt', like=like, flatten=flatten)
received = mamljax.io.load(folder / 'gradient.pt', like=like, flatten=flatten)
print(mamljax.io.plan(folder / 'weights.pt', like=like, flatten=flatten))

# Refused unless both networks say the same.
probe = images_of(pools.training, [0])
mamljax.check_forward(net.apply, params, probe, peer(torch.tensor(np.moveaxis(probe, -1, 1))))


def loss_fn(params, batch):
  """Cross-entropy of the network in JAX, the mean over the batch."""
  logits = net.apply(params, batch.images)
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


slots = jnp.arange(WAYS)
report = mamljax.audit_update(
  loss_fn,
  params,
  received,
  mamljax.Batch(jnp.asarray(images_of(pools.victims, range(1, 5))), jnp.repeat(slots, 4)),
  public=mamljax.Batch(
    jnp.asarray(images_of(pools.training, range(140))), jnp.repeat(slots, 140)
  ),
  learner=mamljax.InnerLoop(1, RATE),
  shots=1,
  attack='patch_space',  # else every attack is tried on simulated tasks first, for minutes
  fpr=0.05,
)
print(report)
print('called:', np.flatnonzero(report.called), 'in truth:', [0, 4, 8])
