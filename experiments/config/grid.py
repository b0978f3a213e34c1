"""A grid of cells: the product of lists of values, counted before it is built."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.config.attacks import idle_fields, own_options
from experiments.config.bounds import of
from experiments.config.cell import Cell
from mamljax.defences import parse_defence
from mamljax.errors import InputError

MOST_CELLS = 200_000  # some kilobytes, and a fraction of a millisecond, each

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Cell)}
_BOUNDS = of(Cell)
_NOISE = ('noise_scale', 'noise_mean')
_UNDEFENDED = {
  'defence': 'none',
  'noise_scale': 0.0,
  'noise_mean': 0.0,
  'clip_noisy_images': False,
}


def expand(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Cell]:
  """The cells of a grid, the last axis varying fastest.

  A defence without noise is none, so that a list of scales may begin with 0 for all
  defences; and a scale without a defence means nothing: all of these are one cell. So are
  cells that differ only in what their attack does not read, such as a `tv_weight`; these
  fields are as by default, and no trials calibrate a threshold that is known. What is left to
  the attack is its own default.

  Args:
    axes: field name of `Cell` -> its values.
    fixed: field name of `Cell` -> its one value.

  Raises:
    InputError: if an axis is empty or a value cannot be, no defence gets any noise, or there
      are more than `MOST_CELLS` cells.
  """
  for name, values in axes.items():
    if not values:
      raise InputError(f'no value is given for {name}')
    for value in values:
      _check_value(name, value)
  axes = {name: list(dict.fromkeys(values)) for name, values in axes.items()}
  _check_size(axes)
  _check_noise(axes)
  points = (
    dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
  )
  plain = (p if _is_noisy(p) else p | _UNDEFENDED for p in points)
  # What an attack does not read may still be a mistake, so it is checked before it is reset.
  return list(dict.fromkeys(_without_idle(Cell(**fixed, **p)) for p in plain))


def _check_value(name: str, value: Any) -> None:
  """Refuses a value that no cell can have, also where none is going to have it: a scale of
  noise, say, where nothing is defended.
  """
  if name in _BOUNDS:
    _BOUNDS[name].check(name, value)
  if name == 'defence':
    parse_defence(value)


def _check_size(axes: Mapping[str, Sequence[Any]]) -> None:
  """Refuses a grid that would fill the memory before its first cell is computed."""
  count = math.prod(map(len, axes.values()))
  if count > MOST_CELLS:
    longest = max(axes, key=lambda name: len(axes[name]))
    raise InputError(
      f'a grid of {count:,} cells, and at most {MOST_CELLS:,} can be asked for at once: '
      f'the longest list is of {len(axes[longest]):,} values for {longest}'
    )


def _check_noise(axes: Mapping[str, Sequence[Any]]) -> None:
  """Refuses a defence that gets no noise anywhere: it would look as if it had been tried."""
  asked = {defence for defence in axes.get('defence', ()) if defence != 'none'}
  if asked and not any(value for name in _NOISE for value in axes.get(name, ())):
    raise InputError(f'defence {min(asked)!r} needs a positive scale: give --noise_scales')


def _without_idle(cell: Cell) -> Cell:
  """The cell, with the fields that its attack does not read as by default."""
  idle = {
    name: _DEFAULTS[name] for name in idle_fields(cell.attack, cell.target, parts=cell.parts)
  }
  known = {} if cell.threshold is None else {'calibration_trials': 0}
  return dataclasses.replace(cell, **idle | own_options(cell), **known)


def _is_noisy(point: dict[str, Any]) -> bool:
  noise = [point.get(name, 0) for name in _NOISE]
  return point.get('defence', 'none') != 'none' and any(noise)
