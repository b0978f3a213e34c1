"""Gaussian noise, on images or on gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.dtypes import like
from mamljax.types import Params


class Gaussian(NamedTuple):
  """Adds independent Gaussian noise to every number of an array or pytree.

  Attributes:
    scale: the standard deviation. (The paper calls its sigma "variance".)
    mean: added to every number.
    low: what lies below it afterwards is raised to it: 0 keeps images images.
    high: what lies above it afterwards is lowered to it.
  """

  scale: float | jax.Array
  mean: float | jax.Array = 0.0
  low: float | jax.Array = -jnp.inf
  high: float | jax.Array = jnp.inf

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value with noise on every number, each leaf in its own type."""
    leaves, structure = jax.tree.flatten(value)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, map(self._add, keys, leaves))

  def _add(self, key: jax.Array, leaf: jax.Array) -> jax.Array:
    """The leaf with noise on it, in its own type whatever that of the numbers above."""
    scale, mean, low, high = (like(leaf, number) for number in self)
    noisy = leaf + mean + scale * jax.random.normal(key, leaf.shape, leaf.dtype)
    return jnp.clip(noisy, low, high)
