"""Sketches of gradients, in few numbers: scaled, and summed in random groups.

A count sketch (Charikar et al., 2002) with groups of equal size: inner products keep their
values on average, and it costs one addition for each number of a gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.types import Batch, LossFn, Params


class Sketch(NamedTuple):
  """A linear map of gradients to few numbers.

  Attributes:
    scale: the factor of each number, its random sign included [parameters].
    order: the numbers of each group, `parameters` standing for a zero [depth, size].
  """

  scale: jax.Array
  order: jax.Array

  def __call__(self, gradient: Params, /) -> jax.Array:
    """The sketch of a gradient: linear in it, [size]."""
    return self._sum(ravel_pytree(gradient)[0] * self.scale)

  def unit_noise(self) -> jax.Array:
    """The variances of its numbers where those of a gradient are 1, [size]."""
    return self._sum(self.scale**2)

  def _sum(self, numbers: jax.Array) -> jax.Array:
    # Fused with the sum, all that a number follows from would be computed anew wherever it is
    # gathered, and a reduction over the groups' axis gathers slowly: ten times, together.
    padded = jax.lax.optimization_barrier(jnp.append(numbers, 0.0))

    def add(total: jax.Array, places: jax.Array) -> tuple[jax.Array, None]:
      return total + padded[places], None

    start = jnp.zeros(self.order.shape[1:], padded.dtype)
    return jax.lax.scan(add, start, self.order, unroll=8)[0]


def make_sketch(key: jax.Array, deviation: jax.Array, *, size: int) -> Sketch:
  """A sketch that first divides every number by its deviation.

  Args:
    key: a random key.
    deviation: not negative [parameters]; a number that never varies says nothing of who is
      there, and is left out. Where one overflowed all of the sketch is NaN.
    size: of the sketch; no more numbers are kept than there are parameters.
  """
  key_signs, key_order = jax.random.split(key)
  total = len(deviation)
  signs = jax.random.rademacher(key_signs, (total,), deviation.dtype)
  least = 1e-6 * deviation.max()  # below it there is only rounding
  scale = jnp.where(deviation > least, signs / jnp.maximum(deviation, least), 0)
  scale = jnp.where(jnp.isfinite(deviation).all(), scale, jnp.nan)
  size = min(size, total)
  padded = jnp.append(
    jax.random.permutation(key_order, total), jnp.full(-total % size, total, jnp.int32)
  )
  return jax.lax.optimization_barrier(Sketch(scale, padded.reshape(-1, size)))


def label_gradients(loss_fn: LossFn, params: Params, image: jax.Array, ways: int) -> Params:
  """The gradient of one image's loss under each label: leaves [ways, ...].

  The forward pass and what follows from it is shared.
  """

  def under(label: jax.Array) -> Params:
    return jax.grad(loss_fn)(params, Batch(image[None], label[None]))

  return jax.vmap(under)(jnp.arange(ways))
