"""Defences of a comparison: the Gaussian mechanism at several epsilons, and others by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mamljax.defences import MECHANISM, Defence, DPGaussian, make_defence, parse_defence
from mamljax.errors import InputError

FACTORS = (1 / 8, 1.0, 8.0, 64.0, 512.0)  # of the asked epsilon: the usual strengths


def grid(
  *,
  epsilon: float,
  delta: float,
  rounds: int,
  clip: float,
  epsilons: Sequence[str],
  named: Sequence[str],
) -> Mapping[str, Defence | DPGaussian]:
  """The defences by name, from the strongest guarantee to the weakest, then those by name.

  Args:
    epsilon: the guarantee that is asked for.
    delta: of guarantees.
    rounds: the messages of one task that guarantees are for.
    clip: the greatest norm that a message keeps.
    epsilons: other guarantees to try, as texts; by default `FACTORS` times the asked one.
    named: defences as a sweep names them, with factors that are deviations:
      '0.1*query_noise'. A `dp_gaussian` among others is that of the asked epsilon, and
      `dp_examples` guarantees as much to single query examples.

  Raises:
    InputError: if a text is no number or names no defence, or a number is none that it can be.
  """
  tried = {*map(_number, epsilons)} if epsilons else {factor * epsilon for factor in FACTORS}

  def calibrated(target: float) -> DPGaussian:
    return DPGaussian.calibrated(clip, epsilon=target, delta=delta, rounds=rounds)

  found: dict[str, Any] = {
    f'epsilon {target:.4g}': calibrated(target) for target in sorted(tried | {epsilon})
  }
  multiplier = calibrated(epsilon).noise_multiplier
  for text in named:
    if [*parse_defence(text)] in ([], [MECHANISM]):
      raise InputError(f'--defences={text} is compared already: name others, or combine them')
    found[text] = make_defence(text, scale=1.0, clip=clip, noise_multiplier=multiplier)
  return found


def _number(text: str) -> float:
  """An epsilon as it was typed."""
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 < value < math.inf:
    raise InputError(f'--epsilons: {text!r} is not a finite number above 0, such as 8')
  return value
