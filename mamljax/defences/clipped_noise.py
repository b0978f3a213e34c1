"""Clip and noise in units of it: the two numbers that Gaussian mechanisms share."""

import dataclasses
from typing import Any, Self

import jax
import numpy as np

from mamljax import checks
from mamljax.defences import accounting
from mamljax.defences.numbers import holds
from mamljax.errors import InputError
from mamljax.numerics import clip_norm
from mamljax.types import Params


@dataclasses.dataclass(frozen=True)
class ClippedNoise:
  """Norm clip, and Gaussian noise whose deviation is said in clips; two pytree leaves.

  Attributes:
    clip: the greatest norm, over all numbers, that a value keeps; above 0.
    noise_multiplier: the standard deviation of the noise, in clips; 0 clips alone, without any
      guarantee.

  Raises:
    InputError: if a number is not as above.
  """

  clip: float | jax.Array
  noise_multiplier: float | jax.Array

  def __post_init__(self):
    if not holds(self.clip, lambda clip: clip > 0):
      raise InputError(
        f'clip must be a finite number above 0, not {self.clip!r}: noise has a guarantee only '
        f'in units of a clip'
      )
    if not holds(self.noise_multiplier, lambda multiplier: multiplier >= 0):
      raise InputError(
        f'noise_multiplier must be a finite number, 0 or more, not {self.noise_multiplier!r}'
      )

  def clipped(self, value: Params) -> Params:
    """The value itself, or scaled down to the norm of the clip: no more, but for rounding.

    A value of zeros stays what it is. One that is not finite becomes NaN as a whole: its finite
    numbers would have no bound.
    """
    checks.scalar('clip', self.clip)
    return clip_norm(value, self.clip)

  def epsilon(
    self,
    delta: float,
    *,
    rounds: int = 1,
    sampling: float = 1.0,
    adjacency: str = 'replace_one',
  ) -> float:
    """The epsilon of (epsilon, delta)-differential privacy of what the clip is put on.

    What that is, and what is no part of it, a subclass says. Exact where it takes part in every
    round (Gaussian differential privacy), at parameters that the server may choose from all
    that it received before.

    Args:
      delta: above 0 and below 1; less than one over the number of those protected, to mean
        anything.
      rounds: the number of messages that one of them takes part in.
      sampling: the probability with which each takes part in a round, if not in all, and
        nobody is told which. It needs the package dp-accounting, `mamljax[accounting]`, and is
        an upper bound.
      adjacency: the neighbouring relation: 'replace_one' puts another in the place of one,
        which moves what is summed by up to two clips; 'add_or_remove_one' leaves one out, which
        moves it by up to one.

    Returns:
      The least epsilon; infinite without noise, which is no guarantee.

    Raises:
      InputError: if an argument is none of the above, or dp-accounting is needed and missing.
    """
    multiplier = float(self.noise_multiplier)
    options: Any = {'rounds': rounds, 'sampling': sampling, 'adjacency': adjacency}
    return accounting.epsilon_of_rounds(multiplier, delta=delta, **options)

  @classmethod
  def calibrated(
    cls,
    clip: float | jax.Array,
    *,
    epsilon: float,
    delta: float,
    rounds: int = 1,
    adjacency: str = 'replace_one',
  ) -> Self:
    """The mechanism with the least noise that guarantees an epsilon.

    Args:
      clip: the greatest norm that a value keeps.
      epsilon: the guarantee, 0 or more.
      delta: as in `epsilon`.
      rounds: as in `epsilon`, all of which are taken part in.
      adjacency: as in `epsilon`.

    Raises:
      InputError: if an argument is none of the above, or noise of that size cannot be drawn.
    """
    options: Any = {'rounds': rounds, 'adjacency': adjacency}
    multiplier = accounting.multiplier_of(epsilon, delta=delta, **options)
    made = cls(clip, multiplier)
    if not np.all(np.asarray(made.noise_multiplier * made.clip) < np.finfo(np.float32).max):
      raise InputError(
        f'an epsilon of {epsilon:g} at delta {delta:g} cannot be reached: its noise, of '
        f'multiplier {multiplier:.3g}, overflows'
      )
    return made
