"""Findings of a sweep in sentences: trends and confident noise areas of its curves."""

from collections.abc import Sequence

from experiments.analysis import curves
from experiments.analysis.curves.series import NOISE
from experiments.reporting import wording
from experiments.store.cells import CellResult


def findings(cells: Sequence[CellResult], x: str) -> list[str]:
  """A sentence for each trend and each confident noise area along `x`; none if `x` is ''."""
  if not x or not cells:
    return []
  trends = [_say_trend(trend) for trend in curves.trend(cells, x)]
  areas = [_say_area(area) for area in curves.areas(cells)] if x == NOISE else []
  return [*trends, *areas, *([_say_rule()] if areas else [])]


def _say_trend(trend: curves.Trend) -> str:
  """The statement of a trend, with its curve named as elsewhere on the page."""
  statement = wording.minus(trend.statement.removeprefix(f'{trend.label}: '))
  curve = ', '.join(wording.value('dataset', part) for part in trend.label.split(', '))
  return f'{curve}: {statement}.' if curve else f'{wording.sentence(statement)}.'


def _say_rule() -> str:
  """The definition of a confident noise area, by the defaults of `confident_noise_area`."""
  rule = curves.confident_noise_area.__kwdefaults__ or {}
  return (
    f'In a confident noise area the attack keeps at most {100 * rule["attack_share"]:.0f} % '
    'of its advantage over guessing, and the model at least '
    f'{100 * rule["learning_share"]:.0f} % of its accuracy without noise.'
  )


def _say_area(area: curves.Area) -> str:
  """The sentence about a confident noise area, or about its absence."""
  curve = f'Noise on {area.noise}' + (f' ({area.label})' if area.label else '')
  if area.low is None or area.high is None:
    return (
      f'{curve}: no confident noise area between {area.smallest:g} and {area.largest:g}, the '
      'standard deviations measured.'
    )
  beyond = ', the largest measured' if area.high == area.largest else ''
  return f'{curve}: confident noise area from {area.low:.2g} to {area.high:.2g}{beyond}.'
