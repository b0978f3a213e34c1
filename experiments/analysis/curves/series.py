"""Finished cells as curves: cells that agree in all fields but one, x, by rising x."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from experiments.config.sections import UNDEFENDED
from experiments.store.cells import Summary
from mamljax.audit.metrics import Rate
from mamljax.defences import AGGREGATE, NOISES, parse_defence
from mamljax.errors import InputError, unknown

NOISE = 'noise_scale'

_POINTS = {
  'support_noise': 'support data',
  'inner_gradient_noise': 'adaptation gradient',
  'query_noise': 'query data',
  'outgoing_gradient_noise': 'validation gradient',
}
_FIRST = ('dataset', 'target', 'attack')  # in a label, values of these need no name
# Fields that follow from ways and shots, or from the way the threshold is chosen.
_IMPLIED = ('chunk', 'calibration_trials')
_OF_NOISE = ('defence', NOISE, 'noise_mean', 'clip_noisy_images')


class Curve(NamedTuple):
  """Cells that agree in everything but x.

  Attributes:
    noise: place of the noise, in the paper's words; '' unless x is the noise scale.
    label: the fields that tell the curve from the others; '' if there is only one curve.
    xs: rising values of x; along the noise scale, the standard deviations that are added.
    cells: the cell at each value of `xs`.
    undefended: the cell without noise of a curve along the noise scale, if there is one.
  """

  noise: str
  label: str
  xs: tuple[float, ...]
  cells: tuple[Summary, ...]
  undefended: Summary | None


def find_curves(results: Sequence[Summary], x: str) -> list[Curve]:
  """The curves along `x`, in the order in which their first cells are given.

  Raises:
    InputError: if there is no cell, if `x` is 'noise_scale' and no cell has noise, or if `x` is
      neither a numeric field of cells nor 'aggregate', the learners of a sum.
  """
  if not results:
    raise InputError(f'no finished cell to draw against {x!r}')
  values = {name: value for cell in results for name, value in cell.columns.items()}
  numbers = [name for name, value in values.items() if type(value) in (int, float)]
  if x not in (*numbers, AGGREGATE):
    raise unknown('field to draw against', x, numbers)
  if x == NOISE:
    return _noise_curves(results)
  if x == AGGREGATE:
    return _sum_curves(results)
  points = [(cell.columns[x], cell) for cell in results if cell.columns.get(x) is not None]
  return [_curve('', label, group) for label, group in _split(points, (x,)).items()]


def attack_accuracy(cell: Summary) -> Rate:
  """The accuracy of the attack; NaN without trials."""
  return cell.metrics.accuracy or Rate(math.nan, math.nan, math.nan)


def learning_accuracy(cell: Summary) -> Rate:
  """The accuracy of learning; NaN where it was not measured."""
  learning = cell.extra.get('learning', {})
  return Rate(*(learning.get(name, math.nan) for name in ('accuracy', 'low', 'high')))


def is_local(cell: Summary) -> bool:
  """Tests whether one task-learner is attacked, so that guessing is right half of the time."""
  return cell.columns['learners'] == 1


def _noise_curves(results: Sequence[Summary]) -> list[Curve]:
  """The curves of each defence, over the standard deviation that it adds.

  Cells whose noise has a mean but no deviation lie on no such curve, and are left out.
  """
  panels: dict[str, list[tuple[float, Summary]]] = {}
  undefended = {}
  for cell in results:
    if cell.columns['defence'] == UNDEFENDED:
      undefended[_key(cell, _OF_NOISE)] = cell
    elif cell.columns[NOISE]:
      noise, scale = _added(cell.columns)
      panels.setdefault(noise, []).append((scale, cell))
  if not panels:
    raise InputError('no finished cell has noise to draw against')
  return [
    _curve(noise, label, points, undefended.get(_key(points[0][1], _OF_NOISE)))
    for noise, panel in panels.items()
    for label, points in _split(panel, ('defence', NOISE)).items()
  ]


def _sum_curves(results: Sequence[Summary]) -> list[Curve]:
  """The curves over the number of learners in a sum; 1 for a message that is seen alone."""
  panels: dict[str, list[tuple[float, Summary]]] = {}
  for cell in results:
    defence = cell.columns['defence']
    learners = parse_defence(defence).get(AGGREGATE, 1)
    panels.setdefault(_beside_sum(defence), []).append((learners, cell))
  return [
    _curve('', ', '.join(filter(None, (rest * (len(panels) > 1), label))), points)
    for rest, panel in panels.items()
    for label, points in _split(panel, ('defence',)).items()
  ]


def _beside_sum(defence: str) -> str:
  """The other parts of a defence with a sum, which is named if something is done to it."""
  each, _, joint = defence.partition(f'*{AGGREGATE}')
  before = each.rpartition('+')[0] if AGGREGATE in defence else each.removeprefix(UNDEFENDED)
  return '+'.join(filter(None, (before, f'{AGGREGATE}{joint}' if joint else '')))


def _added(configuration: dict[str, Any]) -> tuple[str, float]:
  """The places where a defence adds noise, and the standard deviation at the first of them."""
  named = parse_defence(configuration['defence'])
  factors = {point: factor for point, factor in named.items() if point in NOISES}
  first = next(iter(factors.values()))
  places = (
    f'{"" if factor == first else f"{factor / first:g} x "}{_POINTS.get(part, part)}'
    for part, factor in factors.items()
  )
  # Rounded to 12 digits, so that 0.1 x 3 is the same scale as 0.3.
  return ' + '.join(places), float(f'{first * configuration[NOISE]:.12g}')


def _split(
  points: Sequence[tuple[float, Summary]], ignored: Collection[str]
) -> dict[str, list[tuple[float, Summary]]]:
  """The points of each curve, by its label: cells that agree in all fields but `ignored`."""
  groups: dict[tuple[Any, ...], list[tuple[float, Summary]]] = {}
  for point in points:
    groups.setdefault(_key(point[1], ignored), []).append(point)
  return dict(zip(_labels(list(map(dict, groups))), groups.values(), strict=True))


def _key(cell: Summary, ignored: Collection[str]) -> tuple[tuple[str, Any], ...]:
  """The fields of a cell with their values, without `ignored` and implied ones."""
  fields = cell.columns.items()
  return tuple(pair for pair in fields if pair[0] not in {*ignored, *_IMPLIED})


def _labels(groups: Sequence[dict[str, Any]]) -> list[str]:
  """Short labels of groups: the fewest fields that tell all apart, `_FIRST` before the others.

  A field that a group does not have, such as an option of another attack, is left out of its
  label; the attack or target in the label explains that.
  """
  chosen: list[str] = []
  names = dict.fromkeys(name for group in groups for name in group)
  for name in sorted(names, key=lambda name: name not in _FIRST):
    if _distinct(groups, [*chosen, name]) > _distinct(groups, chosen):
      chosen.append(name)
  return [
    ', '.join(_text(name, group[name]) for name in chosen if group.get(name) is not None)
    for group in groups
  ]


def _distinct(groups: Sequence[dict[str, Any]], names: Sequence[str]) -> int:
  """The number of groups that the named fields tell apart."""
  return len({tuple(group.get(name) for name in names) for group in groups})


def _text(name: str, value: Any) -> str:
  """A field of a label."""
  return str(value) if name in _FIRST else f'{name}={value}'


def _curve(
  noise: str,
  label: str,
  points: Sequence[tuple[float, Summary]],
  undefended: Summary | None = None,
) -> Curve:
  """A curve from points in any order."""
  xs, cells = zip(*sorted(points, key=lambda point: point[0]), strict=True)
  return Curve(noise, label, xs, cells, undefended)
