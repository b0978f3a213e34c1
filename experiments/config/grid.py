"""A grid of cells: the product of lists of values, counted before it is built."""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.config.attacks import JOINT, Unplayable, check_name
from experiments.config.cell import Cell
from experiments.config.columns import FIELDS, find_field, make_cell
from experiments.config.sections import UNDEFENDED
from mamljax.attacks import ATTACKS
from mamljax.defences import MECHANISMS, NOISES, parse_defence, without_noise
from mamljax.errors import InputError

MOST_CELLS = 200_000  # some kilobytes, and a fraction of a millisecond, each
ALL = 'all'  # attacks

_NOISE = ('noise_scale', 'noise_mean')
_OF_NOISE = (*_NOISE, 'clip_noisy_images')
_OF_MECHANISM = ('clip', 'noise_multiplier')

Axes = Mapping[str, Sequence[Any]]  # column -> its values


@dataclasses.dataclass(frozen=True)
class Grid:
  """The cells of a grid, in order, and what was left out.

  Attributes:
    cells: those that can be, each once.
    skipped: how many cannot be, by the reason.
  """

  cells: list[Cell]
  skipped: Counter[str]


def expand(axes: Axes) -> Grid:
  """The cells of a grid, the last axis varying fastest, options of attacks and networks last.

  A defence without noise is none, so that a list of scales may begin with 0 for all defences;
  and a scale without a defence means nothing: all of these are one cell. An option multiplies
  the cells of its attack or network alone. A combination of values that cannot be is left out,
  unless all of them are.

  Args:
    axes: column of a cell -> its values; of attacks, 'all' stands for every one.

  Raises:
    InputError: if an axis is empty or a value cannot be, no defence gets any noise, there are
      more than `MOST_CELLS` cells, or none that can be.
  """
  axes = _checked(axes)
  _check_noise(axes)
  found: dict[Cell, None] = {}
  skipped: Counter[str] = Counter()
  for point in _points(axes):
    try:
      found[make_cell(**_undefended(point))] = None
    except Unplayable as error:
      skipped[str(error)] += 1
  if not found:
    raise InputError(skipped.most_common(1)[0][0])
  return Grid(list(found), skipped)


def _checked(axes: Axes) -> dict[str, list[Any]]:
  """The axes with valid values only, each value once."""
  attacks = axes.get('attack', [FIELDS['attack'].default])
  named = itertools.chain(*(ATTACKS if name == ALL else [name] for name in attacks))
  axes = {**axes, 'attack': [*named]}
  for column, values in axes.items():
    if not values:
      raise InputError(f'no value is given for {column}')
    for value in values:
      _check_value(column, value)
  return {column: list(dict.fromkeys(values)) for column, values in axes.items()}


def _check_value(column: str, value: Any) -> None:
  """Refuses a value that no cell can have.

  A value that no cell of the grid would use is refused, too: a wrong scale of noise, say,
  where nothing is defended.
  """
  find_field(column).check(value)
  if column == 'attack':
    check_name(value)
  if column == 'defence':
    parse_defence(value)


def _points(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
  """The points of a grid, each with the options of its own attack and network."""
  shared = [column for column in FIELDS if column in axes]
  options = [column for column in axes if '.' in column]
  networks = axes.get('network', [FIELDS['network'].default])
  own = {
    (network, attack): [o for o in options if _owner(o) in (network, *attack.split(JOINT))]
    for network, attack in itertools.product(networks, axes['attack'])
  }
  _check_size(axes, shared, own)
  for values in itertools.product(*(axes[column] for column in shared)):
    point = dict(zip(shared, values, strict=True))
    mine = own[point.get('network', networks[0]), point['attack']]
    for chosen in itertools.product(*(axes[column] for column in mine)):
      yield point | dict(zip(mine, chosen, strict=True))


def unused_options(axes: Axes) -> list[str]:
  """The options that are given, but belong to no attack and no network of the grid."""
  networks = axes.get('network', [FIELDS['network'].default])
  attacks = axes.get('attack', [FIELDS['attack'].default])
  used = {*networks, *itertools.chain(*(name.split(JOINT) for name in attacks))}
  used |= {*ATTACKS} if ALL in attacks else set()
  return [column for column in axes if '.' in column and _owner(column) not in used]


def _owner(column: str) -> str:
  return column.rpartition('.')[0]


def _check_size(
  axes: Axes, shared: Sequence[str], own: Mapping[tuple[str, str], Sequence[str]]
) -> None:
  """Refuses a grid that would fill the memory before its first cell is computed."""
  pairs = sum(math.prod(len(axes[column]) for column in options) for options in own.values())
  rest = (len(axes[column]) for column in shared if column not in ('network', 'attack'))
  count = pairs * math.prod(rest)
  if count > MOST_CELLS:
    longest = max(axes, key=lambda name: len(axes[name]))
    raise InputError(
      f'a grid of {count:,} cells, and at most {MOST_CELLS:,} can be asked for at once: '
      f'the longest list is of {len(axes[longest]):,} values for {longest}'
    )


def _check_noise(axes: Axes) -> None:
  """Refuses a defence without noise or clip anywhere: it would look as if it had been tried."""
  named = {defence: {*parse_defence(defence)} for defence in axes.get('defence', ())}
  noisy = [defence for defence, points in named.items() if points & {*NOISES}]
  clipped = [defence for defence, points in named.items() if points & {*MECHANISMS}]
  if noisy and not any(value for name in _NOISE for value in axes.get(name, ())):
    raise InputError(f'defence {min(noisy)!r} needs a positive scale: give --noise_scales')
  if clipped and not any(axes.get('clip', ())):
    raise InputError(f'defence {min(clipped)!r} needs a clip above 0: give --clips')
  multiplier = max(axes.get('noise_multiplier', ()), default=0)
  if multiplier and not any(axes.get('clip', ())):
    raise InputError(f'a noise multiplier of {multiplier:g} needs a clip: give --clips')


def _undefended(point: dict[str, Any]) -> dict[str, Any]:
  """A point without noise or clip, where it has none or no place for it."""
  defence = point.get('defence', UNDEFENDED)
  points = {*parse_defence(defence)}
  is_clipped = bool(points & {*MECHANISMS})
  is_noisy = bool(points & {*NOISES}) and any(point.get(name, 0) for name in _NOISE)
  unused = (*_OF_NOISE * (not is_noisy), *_OF_MECHANISM * (not is_clipped))
  left = {column: value for column, value in point.items() if column not in unused}
  if not is_noisy:
    left['defence'] = without_noise(defence)
  if left.get('defence', UNDEFENDED) == UNDEFENDED and 'withheld' in left:
    left['withheld'] = _of_undefended(left['withheld'])
  return left


def _of_undefended(withheld: str) -> str:
  """Names of what is withheld where there is no defence to be known."""
  return JOINT.join(name for name in withheld.split(JOINT) if name != 'defence') or 'none'
