"""Stochastic quantisation of a message (QSGD, Alistarh et al., 2017).

Each number of an array of norm N is sent as one of the multiples of N / s up to N beside it,
s levels, the nearer one more often: on average as itself. It has no guarantee: the rounding of
a number that is a multiple already hides nothing, and the norms are sent.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from mamljax import checks
from mamljax.defences.defence import Unguaranteed
from mamljax.defences.numbers import holds, register
from mamljax.errors import InputError
from mamljax.numerics import like, norm
from mamljax.types import Params

# Quantiles of a Gaussian, over which the variance of a rounding is a mean: it is no polynomial,
# so that Gauss's few points would fall on levels, where there is none.
_QUANTILES = ndtri((np.arange(32) + 0.5) / 32)


@register
@dataclasses.dataclass(frozen=True)
class Quantised(Unguaranteed):
  """Unbiased random rounding to levels between 0 and the norm of each array.

  Attributes:
    levels: number of levels above 0, s, a whole number of 1 or more; a pytree leaf.

  Raises:
    InputError: if the number of levels is not as above.
  """

  levels: float | jax.Array

  def __post_init__(self):
    if not holds(self.levels, lambda levels: (levels >= 1) & (levels % 1 == 0)):
      raise InputError(f'levels must be a whole number of 1 or more, not {self.levels!r}')

  @property
  def makes_zeros(self) -> bool:
    """True: a number below the first level is mostly sent as 0."""
    return True

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value, rounded at random, each leaf in its own type. NaN makes NaN of its array."""
    checks.scalar('levels', self.levels)
    leaves, structure = jax.tree.flatten(value)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, map(self._round, keys, leaves))

  def _round(self, key: jax.Array, leaf: jax.Array) -> jax.Array:
    """One array, rounded."""
    step = like(leaf, norm(leaf) / self.levels)
    level = jnp.abs(leaf) / jnp.where(step == 0, 1, step)
    below = jnp.floor(level)
    above = jax.random.uniform(key, leaf.shape, leaf.dtype) < level - below
    return jnp.sign(leaf) * step * (below + above)

  def alike(self, value: Params, message: Params, /) -> Params:
    """The value itself, which is what is sent on average."""
    del message
    return value

  def read(self, message: Params, mean: Params, variance: Params, /) -> tuple[Params, Params]:
    """The numbers themselves with the error of the rounding; see `Compression.read`.

    The step between levels is read off the message, as the smallest size of a number that is
    not 0: hardly an array has none at the first level.
    """
    residual = jax.tree.map(jnp.subtract, message, mean)
    return residual, jax.tree.map(_error, message, mean, variance)


def _error(message: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
  """The mean variance of the rounding of Gaussian numbers."""
  step = jnp.where(message == 0, jnp.inf, jnp.abs(message)).min(initial=jnp.inf)
  finite = jnp.where(jnp.isfinite(step), step, 1)

  def at(node: Any) -> jax.Array:
    level = jnp.abs(mean + node * jnp.sqrt(variance)) / finite
    above = level - jnp.floor(level)
    return above * (1 - above)

  found = sum(at(float(node)) for node in _QUANTILES) / len(_QUANTILES)
  return jnp.where(jnp.isfinite(step), finite**2 * found, jnp.inf)
