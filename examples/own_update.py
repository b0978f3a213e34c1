"""One received update: which of some images were in the task behind it.

A learner has a 3-way 1-shot task, which nobody else sees, and sends one meta-gradient. Whoever
received it has twelve suspects, of which three are the learner's query images.
"""

import jax
import jax.numpy as jnp
import numpy as np

import mamljax
from mamljax.data import load_dataset, split_dataset

# What everybody knows: the network, its parameters, the protocol, public images.
WAYS = 3
network = mamljax.make_network('mlp', ways=WAYS)
loss_fn = mamljax.CrossEntropy(network)
params = mamljax.init_params(jax.random.key(0), network, (28, 28, 1))
learner = mamljax.InnerLoop(1, 0.1)
pools = split_dataset(load_dataset('mnist_sample'), seed=0, fractions=(0.7, 0.1, 0.1, 0.1))
digits = [2, 5, 7]  # the class that each slot holds


def images_of(pool, digit, rows):
  """Images of a digit, in [0, 1]."""
  return np.asarray(pool.images[pool.starts[digit] + np.asarray(rows)]) / np.float32(255)


# The learner's side: one image a class in each set, and what it sends.
labels = jnp.arange(WAYS)
support = jnp.concatenate([images_of(pools.victims, digit, [0]) for digit in digits])
query = jnp.concatenate([images_of(pools.victims, digit, [1]) for digit in digits])
task = mamljax.Task(mamljax.Batch(support, labels), mamljax.Batch(query, labels))
received = mamljax.meta_gradient(loss_fn, params, task, learner)

# The adversary's side: of each digit the learner's image and three others, with their slots.
suspects = jnp.concatenate([images_of(pools.victims, digit, range(1, 5)) for digit in digits])
public = mamljax.Batch(
  jnp.concatenate([images_of(pools.training, digit, range(140)) for digit in digits]),
  jnp.repeat(labels, 140),
)
report = mamljax.audit_update(
  loss_fn,
  params,
  received,
  mamljax.Batch(suspects, jnp.repeat(labels, 4)),
  public=public,
  learner=learner,
  shots=1,
  attack='row_space',  # else every attack is tried on simulated tasks first, for minutes
  fpr=0.05,
)
print(report)
print('called:', np.flatnonzero(report.called), 'in truth:', [0, 4, 8])
