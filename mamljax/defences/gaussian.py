"""Gaussian noise, on images or on gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

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
    leaves, structure = jax.tree.flatten(value)
    keys = jax.random.split(key, len(leaves))
    noisy = [
      leaf + self.mean + self.scale * jax.random.normal(k, leaf.shape, leaf.dtype)
      for k, leaf in zip(keys, leaves, strict=True)
    ]
    clipped = [jnp.clip(leaf, self.low, self.high) for leaf in noisy]
    return jax.tree.unflatten(structure, clipped)
