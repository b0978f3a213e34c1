"""Whether the attack gets better or worse along a curve, as far as its trials can tell."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.analysis.curves.series import NOISE, Curve, attack_accuracy, find_curves
from experiments.store.cells import Summary

_DRAWS = 10_000


class Trend(NamedTuple):
  """Where the attack's accuracy goes along a curve; printed, it is its statement.

  Attributes:
    noise, label: the curve; see `Curve`.
    slope: of the least-squares line: accuracy per unit of x, or per tenfold noise.
    low, high: its 95 % interval.
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
  """Whether the attack's accuracy rises or falls with `x`, as far as the trials can tell.

  A slope's interval comes from 10,000 lines through accuracies drawn from what the trials
  of each cell say of it (the Beta posterior of Jeffreys' prior; trials are independent). A
  curve rises or falls where the interval leaves out 0. It peaks where a point between its
  ends is above both at 95 % confidence, shared out over all such points (Bonferroni).
  Curves of one point have no row.

  Raises:
    InputError: as `find_curves`.
  """
  random = np.random.default_rng(seed)
  found = find_curves(results, x)
  return [_trend(curve, x, random) for curve in found if len({*curve.xs}) > 1]


def _trend(curve: Curve, x: str, random: np.random.Generator) -> Trend:
  """The slope of a curve, its interval and what they say."""
  values = np.log10(curve.xs) if x == NOISE else np.array(curve.xs, float)
  weights = (values - values.mean()) / np.sum((values - values.mean()) ** 2)
  found = np.array([attack_accuracy(cell).value for cell in curve.cells])
  trials = np.array([cell.columns['trials'] for cell in curve.cells])
  right, wrong = found * trials, (1 - found) * trials
  draws = random.beta(right + 0.5, wrong + 0.5, (_DRAWS, len(trials)))
  low, high = np.quantile(draws @ weights, [0.025, 0.975]).tolist()
  slope = float(found @ weights)
  statement = _state(curve, x, found, (slope, low, high)) + _state_peak(curve, found, draws)
  return Trend(curve.noise, curve.label, slope, low, high, statement)


def _state(curve: Curve, x: str, found: np.ndarray, slope: tuple[float, float, float]) -> str:
  """What the slope, with its interval, says."""
  value, low, high = slope
  places = max(0, 1 - math.floor(math.log10(high - low)))  # two digits of the interval
  verb = 'shows no trend that these trials can tell'
  if low > 0 or high < 0:
    verb = 'rises' if low > 0 else 'falls'
  along = f'noise on {curve.noise}' if x == NOISE else x.replace('_', ' ')
  unit = 'tenfold noise' if x == NOISE else along.removesuffix('s')
  return (
    f'{curve.label}{": " if curve.label else ""}attack accuracy {verb} with {along}: '
    f'{found[0]:.2f} at {curve.xs[0]:g}, {found[-1]:.2f} at {curve.xs[-1]:g}; slope '
    f'{value:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}] per {unit}'
  )


def _state_peak(curve: Curve, found: np.ndarray, draws: np.ndarray) -> str:
  """The highest inner point that is above both ends; nothing if these trials show none."""
  above = np.minimum(draws[:, 1:-1] - draws[:, :1], draws[:, 1:-1] - draws[:, -1:])
  doubt = np.mean(above <= 0, axis=0)
  sure = np.flatnonzero(doubt * doubt.size <= 0.05) + 1
  if not sure.size:
    return ''
  peak = max(sure, key=lambda index: found[index])
  return f'; it peaks with {found[peak]:.2f} at {curve.xs[peak]:g}'
