"""Small tasks in float64 and the one measure of error that the certificate uses."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import mamljax
from mamljax import Batch, CrossEntropy, Params, Task, init_params
from mamljax.networks import Network

WAYS = 3
IMAGE_SHAPE = (12, 12, 1)
EXACT = 1e-10  # relative, where nothing but rounding is allowed

meta_gradient = jax.jit(mamljax.meta_gradient, static_argnums=0)


class Problem(NamedTuple):
  """Everything a meta-gradient depends on but the inner loop."""

  loss_fn: CrossEntropy
  params: Params
  task: Task


class Small(Network):
  """One convolution and one fully connected layer: a network fast to compile."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    x = self.finish(self.convolve(images, 3, 2, stride=2, padding='VALID'))
    return self.dense(x.reshape(x.shape[0], -1), self.ways)


def relative_error(found, expected) -> float:
  """The norm of the difference of two pytrees over the norm of the second."""
  found, expected = ravel_pytree(found)[0], ravel_pytree(expected)[0]
  return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def network_problem(network: Network) -> Problem:
  """He-scaled weights, biases and all, and a task of noise images."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda key: init_params(key, network, IMAGE_SHAPE), jax.random.key(0))

  def weights(shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1] or (10,))))

  return Problem(
    CrossEntropy(network), jax.tree.map(lambda s: weights(s.shape), shapes), noise_task(rng)
  )


def noise_task(rng: np.random.Generator, *, tasks: tuple[int, ...] = ()) -> Task:
  """One-shot tasks of uniform noise, with leading axes `tasks`."""
  labels = jnp.broadcast_to(jnp.arange(WAYS), (*tasks, WAYS))
  support, query = jnp.asarray(rng.uniform(size=(2, *tasks, WAYS, *IMAGE_SHAPE)))
  return Task(Batch(support, labels), Batch(query, labels))
