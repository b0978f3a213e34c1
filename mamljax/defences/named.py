"""Defences by name, for configurations: Gaussian noise at one or several of the four points."""

import math
import re

import jax

from mamljax import checks
from mamljax.defences.defence import Defence
from mamljax.defences.gaussian import Gaussian
from mamljax.errors import InputError, unknown

_POINTS = {
  'support_noise': 'support',
  'inner_gradient_noise': 'inner',
  'query_noise': 'query',
  'outgoing_gradient_noise': 'outgoing',
}
DEFENCES = ('none', *_POINTS)


def parse_defence(text: str) -> dict[str, float]:
  """The points of a named defence, each with the factor of its noise.

  Raises:
    InputError: if a point is unknown or named twice, or a factor is not a positive number.

  >>> parse_defence('query_noise+0.1*outgoing_gradient_noise')
  {'query_noise': 1.0, 'outgoing_gradient_noise': 0.1}
  >>> parse_defence('none')
  {}
  """
  if text == 'none':
    return {}
  factors: dict[str, float] = {}
  for term in text.split('+'):
    factor, star, name = term.strip().rpartition('*')
    if name == 'none':
      raise InputError(f"defence {text!r}: 'none' stands alone, without a factor")
    if name not in _POINTS:
      raise unknown('defence', name, DEFENCES)
    if name in factors:
      raise InputError(f'defence {text!r} names {name!r} twice')
    factors[name] = _factor(text, factor) if star else 1.0
  return factors


def _factor(text: str, factor: str) -> float:
  """The positive number before a '*'."""
  number = float(factor) if re.fullmatch(r'\d*\.?\d+(e-?\d+)?', factor) else 0
  if not 0 < number < math.inf:
    raise InputError(f'defence {text!r}: {factor!r} is not a positive factor')
  return number


def make_defence(
  text: str,
  *,
  scale: float | jax.Array,
  mean: float | jax.Array = 0.0,
  clip_images: bool = False,
) -> Defence:
  """The defence of a name, with Gaussian noise.

  Args:
    text: 'none', or names in `DEFENCES` joined by '+', each with or without a factor and '*'
      before it, as `parse_defence` reads them.
    scale: the standard deviation of the noise with factor 1.
    mean: the mean of the noise with factor 1.
    clip_images: clip noisy images to [0, 1]. (The paper does not say.)

  Raises:
    InputError: if `text` names no defence, or the scale is negative or not finite.
  """
  checks.amount('the scale of noise', scale)
  bounds = (0.0, 1.0) if clip_images else ()
  hooks = {}
  for name, factor in parse_defence(text).items():
    point = _POINTS[name]
    clip = bounds if point in ('support', 'query') else ()
    hooks[point] = Gaussian(factor * scale, factor * mean, *clip)
  return Defence(**hooks)
