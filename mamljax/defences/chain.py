"""Several hooks at one point, one after another, such as a clip and then pruning."""

import dataclasses
from typing import Any

import jax

from mamljax.defences.defence import (
  Aggregation,
  Hook,
  Mechanism,
  PerExample,
  no_guarantee,
  parts_of,
)
from mamljax.defences.numbers import register
from mamljax.errors import InputError
from mamljax.types import Params


@register
@dataclasses.dataclass(frozen=True, init=False)
class Chain:
  """Hooks at one point, of which each gets what the one before it leaves.

  Its guarantee is the best of those of its mechanisms, if it has one: what comes before is part
  of what is protected, and what comes after takes nothing away.

  Attributes:
    parts: the hooks, the first one first; chains among them are opened.

  Raises:
    InputError: if there are none, a mechanism on single examples does not come first, or two
      are sums over learners.
  """

  parts: tuple[Hook, ...]

  def __init__(self, *hooks: Hook):
    parts = tuple(part for hook in hooks for part in parts_of(hook))
    if not parts:
      raise InputError('a Chain needs hooks, as in Chain(DPGaussian(1.0, 2.0), TopK(0.1))')
    for part in parts[1:]:
      if isinstance(part, PerExample):
        raise InputError(
          f'{type(part).__name__} must come first in a Chain: what another hook leaves is no '
          f'mean over examples'
        )
    if sum(isinstance(part, Aggregation) for part in parts) > 1:
      raise InputError('a Chain has one Aggregate at the most: a sum cannot be summed again')
    object.__setattr__(self, 'parts', parts)

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value after all hooks, each with randomness of its own."""
    for own, part in zip(jax.random.split(key, len(self.parts)), self.parts, strict=True):
      value = part(own, value)
    return value

  def epsilon(self, delta: float, **options: Any) -> float:
    """The least epsilon of a mechanism in it.

    Args:
      delta: above 0 and below 1.
      **options: those of `DPGaussian.epsilon`.

    Raises:
      InputError: if no part has a guarantee, or as `DPGaussian.epsilon` does.
    """
    mechanisms = [part for part in self.parts if isinstance(part, Mechanism)]
    if not mechanisms:
      raise no_guarantee(self)
    return min(mechanism.epsilon(delta, **options) for mechanism in mechanisms)
