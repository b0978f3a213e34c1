"""Trends along a curve: slope and peak of the attack's accuracy, tested on its trials."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.analysis.curves.series import NOISE, Curve, attack_accuracy, find_curves
from experiments.store.cells import Summary

_DRAWS = 10_000


class Trend(NamedTuple):
  """The trend of the attack's accuracy along a curve; prints as its statement.

  Attributes:
    noise: place of the noise, as in `Curve`.
    label: label of the curve, as in `Curve`.
    slope: slope of the least-squares line: accuracy per unit of x, or per tenfold noise.
    low: lower end of the 95 % interval of the slope.
    high: upper end of that interval.
    statement: the finding in words.
  """

  noise: str
  label: str
  slope: float
  low: float
  high: float
  statement: str

  def __str__(self) -> str:
    return self.statement


def trend(results: Sequence[Summary], x: str, *, seed: int = 0) -> list[Trend]:
  """The trend of the attack's accuracy with `x` along each curve of at least two points.

  The interval of a slope comes from 10,000 lines through accuracies drawn from the posterior
  of each cell's accuracy given its trials (a Beta distribution, by Jeffreys' prior and
  independent trials). A curve rises or falls if the interval excludes 0. It peaks at a point
  between its ends that is above both with 95 % confidence, divided among all such points
  (Bonferroni).

  Raises:
    InputError: as `find_curves` does.
  """
  random = np.random.default_rng(seed)
  curves = find_curves(results, x)
  return [_trend(curve, x, random) for curve in curves if len({*curve.xs}) > 1]


def _trend(curve: Curve, x: str, random: np.random.Generator) -> Trend:
  """The trend along one curve."""
  values = np.log10(curve.xs) if x == NOISE else np.array(curve.xs, float)
  weights = (values - values.mean()) / np.sum((values - values.mean()) ** 2)
  accuracies = np.array([attack_accuracy(cell).value for cell in curve.cells])
  trials = np.array([cell.columns['trials'] for cell in curve.cells])
  right, wrong = accuracies * trials, (1 - accuracies) * trials
  draws = random.beta(right + 0.5, wrong + 0.5, (_DRAWS, len(trials)))
  low, high = np.quantile(draws @ weights, [0.025, 0.975]).tolist()
  slope = float(accuracies @ weights)
  statement = _state(curve, x, accuracies, (slope, low, high))
  statement += _state_peak(curve, accuracies, draws)
  return Trend(curve.noise, curve.label, slope, low, high, statement)


def _state(
  curve: Curve, x: str, accuracies: np.ndarray, slope: tuple[float, float, float]
) -> str:
  """The statement about a slope, given with its interval."""
  value, low, high = slope
  digits = max(0, 1 - math.floor(math.log10(high - low)))  # two digits of the interval
  verb = 'shows no trend that these trials can tell'
  if low > 0 or high < 0:
    verb = 'rises' if low > 0 else 'falls'
  along = f'noise on {curve.noise}' if x == NOISE else x.replace('_', ' ')
  unit = 'tenfold noise' if x == NOISE else along.removesuffix('s')
  return (
    f'{curve.label}{": " if curve.label else ""}attack accuracy {verb} with {along}: '
    f'{accuracies[0]:.2f} at {curve.xs[0]:g}, {accuracies[-1]:.2f} at {curve.xs[-1]:g}; slope '
    f'{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}] per {unit}'
  )


def _state_peak(curve: Curve, accuracies: np.ndarray, draws: np.ndarray) -> str:
  """The statement about the highest peak; '' if the trials show none."""
  prominences = np.minimum(draws[:, 1:-1] - draws[:, :1], draws[:, 1:-1] - draws[:, -1:])
  doubts = np.mean(prominences <= 0, axis=0)
  peaks = np.flatnonzero(doubts * doubts.size <= 0.05) + 1
  if not peaks.size:
    return ''
  peak = max(peaks, key=lambda index: accuracies[index])
  return f'; it peaks with {accuracies[peak]:.2f} at {curve.xs[peak]:g}'
