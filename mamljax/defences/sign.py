"""Signs of a message, scaled: a bit for each number (signSGD).

Bernstein et al. (2018) send the signs alone; Karimireddy et al. (2019) multiply them by the
mean size, so that what is sent is about as long as the gradient and serves a server at the same
step size. The latter is done here, array by array as they do. It has no guarantee.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import erf

from mamljax.defences.defence import Unguaranteed
from mamljax.defences.numbers import register
from mamljax.types import Params

_LEAST = 1e-3  # of a sign's slope: who was sure of it before learns nothing


@register
@dataclasses.dataclass(frozen=True)
class Sign(Unguaranteed):
  """The sign of each number, times the mean size of the numbers of its array; 0 stays 0."""

  @property
  def makes_zeros(self) -> bool:
    """False: a number is sent as 0 if it is 0."""
    return False

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The scaled signs of the value; the key is not used. NaN makes NaN of its array."""
    del key
    return self.alike(value, value)

  def alike(self, value: Params, message: Params, /) -> Params:
    """The scaled signs of the value."""
    del message
    return jax.tree.map(lambda leaf: jnp.sign(leaf) * jnp.abs(leaf).mean(), value)

  def read(self, message: Params, mean: Params, variance: Params, /) -> tuple[Params, Params]:
    """A sign is a noisy reading of a Gaussian number; see `Compression.read`.

    Of all linear ones the best (Bussgang, 1952): with t the mean in deviations s, the sign is
    erf(t / sqrt 2) on average, its slope in the number is b = sqrt(2 / pi) exp(-t^2 / 2) / s,
    and what is left is an error that does not correlate with the number. The scales, one
    number of each array, are left out. A number that is 0 is told.
    """
    read = jax.tree.map(_read, message, mean, variance)
    return jax.tree.transpose(jax.tree.structure(message), jax.tree.structure((0, 0)), read)


def _read(message: jax.Array, mean: jax.Array, variance: jax.Array) -> tuple[Any, Any]:
  """The numbers of one array less their mean, and the variance of the error."""
  varies = variance > 0
  deviation = jnp.sqrt(jnp.where(varies, variance, 1))
  ahead = mean / deviation
  usual = erf(ahead / 2**0.5)
  slope = (2 / jnp.pi) ** 0.5 * jnp.exp(-(ahead**2) / 2)  # for one deviation
  rest = jnp.maximum(1 - usual**2 - slope**2, 0)
  tells = varies & (slope > _LEAST)
  steep = jnp.where(tells, slope, 1)
  residual = (jnp.sign(message) - usual) / steep * deviation
  error = jnp.where(tells, rest * (deviation / steep) ** 2, jnp.inf)
  is_zero = message == 0
  return jnp.where(is_zero, -mean, residual), jnp.where(is_zero, 0, error)
