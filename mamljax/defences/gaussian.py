"""Gaussian noise on images or on gradients."""

from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp

from mamljax.defences.defence import no_guarantee
from mamljax.numerics import like
from mamljax.types import Params


class Gaussian(NamedTuple):
  """Independent Gaussian noise on every number of an array or pytree.

  Attributes:
    scale: the standard deviation of the noise. (The paper calls its sigma "variance".)
    mean: the mean of the noise.
    low: lower bound to which noisy numbers are clipped, such as 0 for images.
    high: upper bound to which noisy numbers are clipped, such as 1 for images.
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

  def epsilon(self, delta: float, **options: Any) -> NoReturn:
    """Refuses: without a clip nothing bounds what the noise must hide.

    Raises:
      InputError: always.
    """
    del delta, options
    raise no_guarantee(self)

  def _add(self, key: jax.Array, leaf: jax.Array) -> jax.Array:
    """The leaf with noise, in the type of the leaf, whatever the types of scale and bounds."""
    scale, mean, low, high = (like(leaf, number) for number in self)
    noisy = leaf + mean + scale * jax.random.normal(key, leaf.shape, leaf.dtype)
    return jnp.clip(noisy, low, high)
