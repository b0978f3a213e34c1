"""The confident noise area of section V-C: noise that stops the attack but not learning."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.analysis.curves.series import (
  NOISE,
  Curve,
  attack_accuracy,
  find_curves,
  is_local,
  learning_accuracy,
)
from experiments.store.cells import Summary

_ROUNDING = 1e-9


class Area(NamedTuple):
  """A confident noise area of a curve, or the statement that it has none; prints as a sentence.

  Attributes:
    noise: place of the noise, as in `Curve`.
    label: label of the curve, as in `Curve`.
    low: the lowest standard deviation of the area; None if there is no area.
    high: the highest one; None if there is no area.
    smallest: the smallest standard deviation measured.
    largest: the largest one measured; an area that ends there may extend further.
  """

  noise: str
  label: str
  low: float | None
  high: float | None
  smallest: float
  largest: float

  def __str__(self) -> str:
    where = f'{self.label}: noise on {self.noise}'.removeprefix(': ')
    extent = 'no confident area'
    if self.low is not None:
      extent = f'confident from {self.low:.2g} to {self.high:.2g}'
    return f'{where}: {extent}, of {self.smallest:g} to {self.largest:g} measured'


def confident_noise_area(
  scales: Sequence[float],
  attack: Sequence[float],
  learning: Sequence[float],
  *,
  undefended_attack: float,
  undefended_learning: float,
  attack_share: float = 0.5,
  learning_share: float = 0.9,
  chance: float = 0.5,
) -> list[tuple[float, float]]:
  """The noise scales that stop the attack and still let the model learn (section V-C).

  The paper highlights such scales without saying where they begin and end. Here they are
  the scales s with

    attack(s) - chance <= attack_share * (undefended_attack - chance)   and
    learning(s) >= learning_share * undefended_learning,

  where both curves are taken to be linear in log s between neighbouring measured scales. Scales
  below the smallest or above the largest measured one belong to no area, and there is none if
  the undefended attack is no better than chance. Both accuracies are point estimates, whose
  intervals are ignored. Rounding errors of up to 1e-9 are tolerated.

  Args:
    scales: the measured standard deviations, positive and rising.
    attack: the accuracy of the attack at each scale.
    learning: the accuracy of the model at each scale.
    undefended_attack: the accuracy of the attack without a defence.
    undefended_learning: the accuracy of the model without a defence.
    attack_share: the share of its advantage over chance that the attack may keep.
    learning_share: the share of its accuracy that the model must keep.
    chance: the accuracy of guessing.

  Returns:
    Closed intervals (low, high), rising and disjoint; low == high for a single scale.
  """
  advantage = undefended_attack - chance
  if advantage <= 0:
    return []
  margins = np.array(
    [
      attack_share * advantage - (np.asarray(attack) - chance),
      np.asarray(learning) - learning_share * undefended_learning,
    ]
  )  # a scale is in the area where both are at least 0
  margins[np.abs(margins) < _ROUNDING] = 0
  intervals: list[tuple[float, float]] = []  # positions, in segments from the first scale
  last = len(scales) - 1
  for segment in range(max(last, 1)):
    ends = (segment, min(segment + 1, last))
    parts = [_nonnegative_part(*margin[list(ends)].tolist()) for margin in margins]
    low, high = max(part[0] for part in parts), min(part[1] for part in parts)
    if low <= high:
      joins = intervals and intervals[-1][1] == segment + low
      start = intervals.pop()[0] if joins else segment + low
      intervals.append((start, segment + high))
  return [(_scale_at(low, scales), _scale_at(high, scales)) for low, high in intervals]


def areas(results: Sequence[Summary]) -> list[Area]:
  """The confident noise areas of the curves along the noise scale.

  A curve has an entry for each area, or one that says that it has none. It has no entry where
  the rule does not apply: if learning was not measured, if there is no undefended cell, or if
  the game is global.

  Raises:
    InputError: as `find_curves` does.
  """
  curves = ((curve, areas_of(curve)) for curve in find_curves(results, NOISE))
  return [
    Area(curve.noise, curve.label, low, high, curve.xs[0], curve.xs[-1])
    for curve, intervals in curves
    if intervals is not None
    for low, high in intervals or [(None, None)]
  ]


def areas_of(curve: Curve) -> list[tuple[float, float]] | None:
  """The confident noise areas of a curve; None where the rule does not apply, as in `areas`."""
  if curve.undefended is None or not is_local(curve.undefended):
    return None
  cells = (curve.undefended, *curve.cells)
  if not all('learning' in cell.extra for cell in cells):
    return None
  attack = [attack_accuracy(cell).value for cell in cells]
  learning = [learning_accuracy(cell).value for cell in cells]
  return confident_noise_area(
    curve.xs,
    attack[1:],
    learning[1:],
    undefended_attack=attack[0],
    undefended_learning=learning[0],
  )


def _nonnegative_part(left: float, right: float) -> tuple[float, float]:
  """The part of [0, 1] where the line from `left` to `right` is >= 0; (1, 0) if none."""
  if left < 0 and right < 0:
    return 1.0, 0.0
  zero = left / (left - right) if (left < 0) != (right < 0) else 0.0
  return (zero if left < 0 else 0.0), (zero if right < 0 else 1.0)


def _scale_at(position: float, scales: Sequence[float]) -> float:
  """The scale at a position counted in segments; exact at a measured scale."""
  position = min(position, len(scales) - 1)
  left, part = int(position), position % 1
  return scales[left] * (scales[left + 1] / scales[left]) ** part if part else scales[left]
