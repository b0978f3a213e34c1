"""Softmax regression on small noise images: the smallest network with an output layer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks import Knowledge, Observation, Reconstruction
from mamljax.audit.game import observe
from mamljax.defences import Defence
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, Network
from mamljax.types import Batch, Task

WAYS, SIZE = 3, 6
SHAPE = (12, 12, 1)  # SSIM needs 11


class Linear(Network):
  """One fully connected layer."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    return self.dense(images.reshape(len(images), -1), self.ways)


def noise(seed: int) -> jax.Array:
  """Uniform images [SIZE, height, width, channels]."""
  return jnp.asarray(np.random.default_rng(seed).uniform(size=(SIZE, *SHAPE)), jnp.float32)


def knowledge(target: str = 'query') -> Knowledge:
  """He's initial weights, some biases and a small inner step."""
  random, pixels = np.random.default_rng(0), int(np.prod(SHAPE))
  kernel = random.normal(size=(pixels, WAYS)) * np.sqrt(2 / pixels)
  layer = {'kernel': kernel, 'bias': random.normal(size=WAYS) / 3}
  params = {'Dense_0': jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layer)}
  loss_fn, inner = CrossEntropy(Linear(WAYS)), InnerLoop(1, 0.01)
  return Knowledge(loss_fn, params, inner, target=target, ways=WAYS)


def observed(labels: jax.Array, known: Knowledge) -> Observation:
  """The adversary's observation of a task whose targeted set has these labels.

  The images of the targeted set are `noise(1)`, those of the other `noise(2)`.
  """
  targeted = Batch(noise(1), labels)
  other = Batch(noise(2), jnp.arange(SIZE) % WAYS)
  task = Task(other, targeted) if known.target == 'query' else Task(targeted, other)
  assert known.inner is not None
  return observe(
    jax.random.key(0),
    known.loss_fn,
    known.params,
    task,
    known.inner,
    defence=Defence(),
    requires=Reconstruction.requires[known.target],
  )
