"""Gaussian noise, on images or on gradients."""

from typing import NamedTuple

import jax

from mamljax.types import Params


class Gaussian(NamedTuple):
  """Adds independent Gaussian noise to every number of an array or pytree.

  Attributes:
    scale: the standard deviation. (The paper calls its sigma "variance".)
    mean: added to every number.
  """

  scale: float | jax.Array
  mean: float | jax.Array = 0.0

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    leaves, structure = jax.tree.flatten(value)
    keys = jax.random.split(key, len(leaves))
    noisy = [
      leaf + self.mean + self.scale * jax.random.normal(k, leaf.shape, leaf.dtype)
      for k, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)
