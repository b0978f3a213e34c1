"""Pruning of a message: its largest numbers are sent, and 0 for the others (top-k).

Meant to save bits (Aji and Heafield, 2017), and recommended against the inversion of gradients
(Zhu et al., 2019). It has no guarantee: what is sent is sent as it is.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.defences.defence import Unguaranteed
from mamljax.defences.numbers import holds, register
from mamljax.errors import InputError
from mamljax.types import Params


@register
@dataclasses.dataclass(frozen=True)
class TopK(Unguaranteed):
  """The share of a message's numbers that are largest in size; 0 for the rest.

  Attributes:
    share: of all numbers of the message together, above 0 and at most 1; a pytree leaf. At
      least one number is sent, and with the last all that are as large.

  Raises:
    InputError: if the share is not as above.
  """

  share: float | jax.Array

  def __post_init__(self):
    if not holds(self.share, lambda share: (share > 0) & (share <= 1)):
      raise InputError(f'share must be a number above 0 and at most 1, not {self.share!r}')

  @property
  def makes_zeros(self) -> bool:
    """True: a number that is small is sent as 0."""
    return True

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value, 0 where it is small; the key is not used. NaN stays."""
    del key
    checks.scalar('share', self.share)
    leaves = jax.tree.leaves(value)
    kind = jnp.result_type(jnp.float32, *leaves)
    sizes = jnp.sort(jnp.concatenate([jnp.abs(leaf).ravel().astype(kind) for leaf in leaves]))
    kept = jnp.clip(jnp.round(self.share * len(sizes)), 1, len(sizes)).astype(int)
    least = sizes[len(sizes) - kept]
    return jax.tree.map(lambda leaf: jnp.where(jnp.abs(leaf) < least, 0, leaf), value)

  def alike(self, value: Params, message: Params, /) -> Params:
    """The value where the message is not 0, and 0 elsewhere."""
    return jax.tree.map(lambda own, sent: jnp.where(sent == 0, 0, own), value, message)

  def read(self, message: Params, mean: Params, variance: Params, /) -> tuple[Params, Params]:
    """The numbers that are sent are told exactly; see `Compression.read`.

    Of any other it is told that it is smaller than the smallest of these, which counts as a
    number evenly spread below, where that says more than was known. That numbers are sent
    because they are large is left out.
    """
    least = _least(message)

    def error(sent: jax.Array, spread: jax.Array) -> jax.Array:
      gained = 3 / least**2 - 1 / jnp.maximum(spread, 1e-37)
      hidden = jnp.where(gained > 0, 1 / jnp.where(gained > 0, gained, 1), jnp.inf)
      return jnp.where(sent == 0, hidden, 0)

    errors = jax.tree.map(error, message, variance)

    def residual(sent: Any, mean: Any, spread: Any, error: Any) -> jax.Array:
      informed = jnp.isfinite(error) & (spread > 0)
      pull = jnp.where(informed, error, 0) / jnp.where(spread > 0, spread, 1)
      return sent - mean * (1 + pull)

    return jax.tree.map(residual, message, mean, variance, errors), errors


def _least(message: Params) -> jax.Array:
  """The size of the smallest number that is not 0; infinite if all are."""
  leaves = jax.tree.leaves(message)
  smallest = [
    jnp.where(leaf == 0, jnp.inf, jnp.abs(leaf)).min(initial=jnp.inf) for leaf in leaves
  ]
  return jnp.stack(smallest).min()
