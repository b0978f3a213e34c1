"""Defences by name, for configurations: noise at one or several of the four points, and more.

What is sent may be clipped (`dp_gaussian`) and compressed, too: hooks on it are applied in the
order in which they are named.
"""

import math
import re
from typing import Any, cast

import jax

from mamljax import checks
from mamljax.defences.aggregate import Aggregate
from mamljax.defences.chain import Chain
from mamljax.defences.defence import Defence, Hook
from mamljax.defences.dp_examples import DPExamples
from mamljax.defences.dp_gaussian import DPGaussian
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.quantised import Quantised
from mamljax.defences.sign import Sign
from mamljax.defences.top_k import TopK
from mamljax.errors import InputError, unknown

_POINTS = {
  'support_noise': 'support',
  'inner_gradient_noise': 'inner',
  'query_noise': 'query',
  'outgoing_gradient_noise': 'outgoing',
  'dp_steps': 'inner',
}
NOISES = ('support_noise', 'inner_gradient_noise', 'query_noise', 'outgoing_gradient_noise')
MECHANISM = 'dp_gaussian'
# With a clip and a multiplier of their own; where one acts, what comes before has no noise.
_MECHANISMS = {MECHANISM: DPGaussian, 'dp_examples': DPExamples, 'dp_steps': DPExamples}
MECHANISMS = tuple(_MECHANISMS)
# The number before each, and how it is asked for; None of one that takes none.
_COMPRESSIONS: dict[str, tuple[str, str] | None] = {
  'top_k': ('the share of the numbers that it keeps', '0.1*top_k'),
  'sign': None,
  'quantised': ('its number of levels', '2*quantised'),
}
COMPRESSIONS = tuple(_COMPRESSIONS)
AGGREGATE = 'aggregate'
_NUMBERED = _COMPRESSIONS | {AGGREGATE: ('its number of learners', '8*aggregate')}
DEFENCES = ('none', *NOISES, *MECHANISMS, *COMPRESSIONS, AGGREGATE)


def parse_defence(text: str) -> dict[str, float]:
  """The parts of a named defence in their order, each with the number before it.

  That is the factor of a noise, the share of 'top_k', the levels of 'quantised' and the
  learners of 'aggregate'; 1 where there is none.

  Raises:
    InputError: if a part is unknown or named twice, or its number is not a positive one, is
      missing or has no meaning, or a mechanism meets other noise on what is sent.

  >>> parse_defence('query_noise+0.1*outgoing_gradient_noise')
  {'query_noise': 1.0, 'outgoing_gradient_noise': 0.1}
  >>> parse_defence('dp_gaussian+0.01*top_k')
  {'dp_gaussian': 1.0, 'top_k': 0.01}
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
    if reason := _misnumbered(name, is_numbered=bool(star)):
      raise InputError(f'defence {text!r}: {name!r} {reason}')
    factors[name] = _factor(text, factor) if star else 1.0
    _unscaled(name, factors[name])
  _check_mechanisms(text, [*factors])
  return factors


def _check_mechanisms(text: str, names: list[str]) -> None:
  """Refuses two noises at the point of a mechanism, and what one on examples cannot follow."""
  if {'dp_steps', 'inner_gradient_noise'} <= {*names}:
    raise InputError(f"defence {text!r}: 'dp_steps' has noise of its own on the adaptation")
  sent = [name for name in names if _POINTS.get(name, 'outgoing') == 'outgoing']
  noisy = [name for name in sent if name not in _NUMBERED]
  mechanism = next((name for name in noisy if name in MECHANISMS), None)
  if mechanism and len(noisy) > 1:
    raise InputError(f'defence {text!r}: {mechanism!r} has noise of its own on what is sent')
  if mechanism == 'dp_examples' and sent[0] != mechanism:
    raise InputError(f'defence {text!r}: {mechanism!r} comes before {sent[0]!r}')


def _misnumbered(name: str, *, is_numbered: bool) -> str | None:
  """The reason why a part may have no number before it, or must; None if all is well."""
  if name in MECHANISMS and is_numbered:
    return 'takes no factor: it has a clip'
  if name not in _NUMBERED:
    return None
  needed = _NUMBERED[name]
  if needed is None:
    return 'takes no number' if is_numbered else None
  meaning, example = needed
  return None if is_numbered else f'needs {meaning} before it, as in {example}'


def _unscaled(name: str, number: float) -> Hook | None:
  """The compression, or the sum over learners, of a name; None of another name."""
  if name == AGGREGATE:
    return Aggregate(int(number) if number == int(number) else cast(Any, number))
  if name == 'top_k':
    return TopK(number)
  if name == 'quantised':
    return Quantised(number)
  return Sign() if name == 'sign' else None


def without_noise(text: str) -> str:
  """A named defence without the noises that have a scale, 'none' if nothing is left.

  >>> without_noise('query_noise+0.1*top_k')
  '0.1*top_k'
  """
  terms = [term for term in text.split('+') if term.rpartition('*')[2].strip() not in NOISES]
  return '+'.join(terms) or 'none'


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
  """The defence of a name.

  Args:
    text: 'none', or names in `DEFENCES` joined by '+', each with or without a number and '*'
      before it, as `parse_defence` reads them.
    scale: the standard deviation of the noise with factor 1.
    mean: the mean of the noise with factor 1.
    clip_images: clip noisy images to [0, 1]. (The paper does not say.)
    clip: of 'dp_gaussian', the norm that what is sent is clipped to; of 'dp_examples', the
      norm that each query example's term of it is clipped to; of 'dp_steps', that of each
      support example's term of a gradient of the adaptation.
    noise_multiplier: of these, the standard deviation of the noise in clips.

  Raises:
    InputError: if `text` names no defence, or a number is negative or not finite, or a clip is
      needed and there is none.
  """
  checks.amount('the scale of noise', scale)
  bounds = (0.0, 1.0) if clip_images else ()
  hooks: dict[str, list[Any]] = {}
  for name, number in parse_defence(text).items():
    point = _POINTS.get(name, 'outgoing')
    limits = bounds if point in ('support', 'query') else ()
    if name in MECHANISMS:
      hook = _MECHANISMS[name](cast(Any, clip), noise_multiplier)
    else:
      hook = _unscaled(name, number) or Gaussian(number * scale, number * mean, *limits)
    hooks.setdefault(point, []).append(hook)
  return Defence(
    **{point: Chain(*parts) if len(parts) > 1 else parts[0] for point, parts in hooks.items()}
  )
