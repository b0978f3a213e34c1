"""Defences by name, for configurations: noise at one or several of the four points, a clip."""

import math
import re
from typing import Any, cast

import jax

from mamljax import checks
from mamljax.defences.defence import Defence
from mamljax.defences.dp_gaussian import DPGaussian
from mamljax.defences.gaussian import Gaussian
from mamljax.errors import InputError, unknown

_POINTS = {
  'support_noise': 'support',
  'inner_gradient_noise': 'inner',
  'query_noise': 'query',
  'outgoing_gradient_noise': 'outgoing',
}
MECHANISM = 'dp_gaussian'
DEFENCES = ('none', *_POINTS, MECHANISM)


def parse_defence(text: str) -> dict[str, float]:
  """The points of a named defence, each with the factor of its noise; 1 of a mechanism.

  Raises:
    InputError: if a point is unknown or named twice, a factor is not a positive number, or a
      mechanism has one or meets other noise on what is sent.

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
    if name not in DEFENCES:
      raise unknown('defence', name, DEFENCES)
    if name in factors:
      raise InputError(f'defence {text!r} names {name!r} twice')
    if name == MECHANISM and star:
      raise InputError(f'defence {text!r}: {MECHANISM!r} takes no factor: it has a clip')
    factors[name] = _factor(text, factor) if star else 1.0
  if {MECHANISM, 'outgoing_gradient_noise'} <= {*factors}:
    raise InputError(f'defence {text!r}: {MECHANISM!r} has noise of its own on what is sent')
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
  clip: float | jax.Array | None = None,
  noise_multiplier: float | jax.Array = 0.0,
) -> Defence:
  """The defence of a name, with Gaussian noise.

  Args:
    text: 'none', or names in `DEFENCES` joined by '+', each with or without a factor and '*'
      before it, as `parse_defence` reads them.
    scale: the standard deviation of the noise with factor 1.
    mean: the mean of the noise with factor 1.
    clip_images: clip noisy images to [0, 1]. (The paper does not say.)
    clip: of 'dp_gaussian', the norm that what is sent is clipped to.
    noise_multiplier: of 'dp_gaussian', the standard deviation of its noise in clips.

  Raises:
    InputError: if `text` names no defence, or a number is negative or not finite, or a clip is
      needed and there is none.
  """
  checks.amount('the scale of noise', scale)
  bounds = (0.0, 1.0) if clip_images else ()
  hooks: dict[str, Any] = {}
  for name, factor in parse_defence(text).items():
    if name == MECHANISM:
      hooks['outgoing'] = DPGaussian(cast(Any, clip), noise_multiplier)
      continue
    point = _POINTS[name]
    limits = bounds if point in ('support', 'query') else ()
    hooks[point] = Gaussian(factor * scale, factor * mean, *limits)
  return Defence(**hooks)
