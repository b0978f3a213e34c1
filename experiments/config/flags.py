"""The flags of a sweep, generated from the fields of a cell; the only reader of FLAGS.

Almost every flag takes a comma list, and the lists multiply into a grid.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from absl import flags, logging

from experiments.config.attacks import PLAYED
from experiments.config.cell import Cell
from experiments.config.columns import FIELDS, columns_of, find_field, option_fields
from experiments.config.fields import Field
from experiments.config.grid import expand, unused_options
from experiments.config.networks import OPTIONS
from experiments.config.sections import SECTIONS, Execution
from experiments.config.sweep import Sweep
from experiments.config.workload import with_chunk
from experiments.process import arguments, cli
from experiments.process.bounds import integer, of
from mamljax.defences import AGGREGATE
from mamljax.errors import InputError, unknown

FLAGS = flags.FLAGS

Keys = Callable[[Iterable[Cell], Path | None], Iterable[Cell]]
Axes = dict[str, list[Any]]  # column of a cell -> its values

_GROUPS = {
  'data': 'images',
  'model': 'network and meta-training',
  'task': 'task',
  'game': 'membership game',
  'inner': 'adaptation',
  'defence': 'defence',
}
# What a quick look has at most, of a field or of an option of any attack.
_QUICK = {
  'iterations': 30,
  'sketch': 256,
  'directions': 64,
  'shadows': 30,
  'rounds_per_epoch': 5,
  'references': 30,
}
_QUICK_TRIALS = 20


def _define(field: Field, group: str) -> None:
  """Defines the list flag of a field; the default of an option is that of its owner."""
  told = f'{field.help.rstrip(".")} (default: {field.default})'
  flags.DEFINE_list(field.flag, None, told, module_name=cli.group(group))


def _define_all() -> dict[str, Field]:
  """Defines the flags of all fields; returns the fields by flag."""
  groups = {
    title: [f for f in FIELDS.values() if f.flag and f in _fields_in(section)]
    for section, title in _GROUPS.items()
  }
  groups['attack'] = [FIELDS['attack']]
  groups |= {f'network {name}': [*option_fields(name)] for name in OPTIONS}
  groups |= {f'attack {name}': [*option_fields(name)] for name in PLAYED}
  groups['how it is run'] = [FIELDS['seed']]
  found = {field.flag: (field, title) for title, group in groups.items() for field in group}
  for field, title in found.values():
    _define(field, title)
  return {flag: field for flag, (field, _) in found.items()}


def _fields_in(section: str) -> set[Field]:
  """The fields of a section, and the network among those of the model."""
  names = {field.name for field in dataclasses.fields(SECTIONS[section])}
  return {field for field in FIELDS.values() if field.attribute in names}


LISTS = _define_all()

_RUN: dict[str, Any] = {'module_name': cli.group('how it is run')}
_FILES: dict[str, Any] = {'module_name': cli.group('files')}
integer(
  'chunk',
  0,
  of(Execution)['chunk']._replace(least=0),
  'trials computed together; 0: chosen for the backend',
  group=_RUN['module_name'],
)
flags.DEFINE_bool(
  'quick',
  False,
  'a look in minutes: ends of lists, packaged images, few trials; OUT_quick',
  **_RUN,
)
flags.DEFINE_bool('dry_run', False, 'print the cells and stop', **_RUN)
flags.DEFINE_bool(
  'strict',
  False,
  'refuse a grid of which some cells cannot be, not skip them',
  **_RUN,
)
flags.DEFINE_string(
  'data_dir', None, "folder of prepared data sets (default: TensorFlow Datasets' own)", **_FILES
)
flags.DEFINE_string(
  'output_dir', 'out', 'folder of the results; the same folder again resumes', **_FILES
)
flags.DEFINE_string(
  'store_dir',
  None,
  'folder of finished cells and trained models, to share (default: output_dir)',
  **_FILES,
)
flags.DEFINE_string(
  'x',
  '',
  'column of a cell, such as ways, that the accuracy is drawn against; or aggregate, for the '
  'learners of a sum',
  **_FILES,
)


def read(*, keys: Keys | None = None) -> Sweep:
  """The sweep that the parsed flags describe.

  Args:
    keys: gives cells the keys of their data and of the code, as results are named.

  Raises:
    InputError: if a list holds an item of the wrong type, a cell cannot be, or data that
      give a key are not there or not valid.
  """
  axes = {
    f.column: _items(flag, f) for flag, f in LISTS.items() if FLAGS[flag].value is not None
  }
  _check_used(axes)
  grid = expand(_quick(axes) if FLAGS.quick else axes)
  cells = [with_chunk(cell, FLAGS.chunk) for cell in grid.cells]
  _check_x(cells)
  data_dir = _folder('data_dir') if FLAGS.data_dir is not None else None
  output_dir = _folder('output_dir')
  if FLAGS.quick:
    output_dir = cli.quick_folder(output_dir)
  return Sweep(
    [*keys(cells, data_dir)] if keys else cells,
    data_dir=data_dir,
    output_dir=output_dir,
    store_dir=_folder('store_dir') if FLAGS.store_dir is not None else output_dir,
    x=FLAGS.x,
    dry_run=FLAGS.dry_run,
    strict=FLAGS.strict,
    skipped=grid.skipped,
  )


def _items(flag: str, field: Field) -> list[Any]:
  """The items of a list flag."""
  items = FLAGS[flag].value or []
  try:
    return [field.parse(item.strip()) for item in items]
  except ValueError as error:
    raise InputError(
      f'--{flag}={",".join(items)}: every item must be {field.wanted} ({error})'
    ) from error


def _check_used(axes: Axes) -> None:
  """Warns of options that no cell uses, or refuses them with --strict."""
  if not (unused := unused_options(axes)):
    return
  line = f'no cell has {", ".join(f"--{column}" for column in unused)}'
  if FLAGS.strict:
    raise InputError(f'{line}: name its attack or network, too')
  logging.warning('%s, which is not used', line)


def _check_x(cells: list[Cell]) -> None:
  """Refuses an x axis that is not a number, or that never varies."""
  if not FLAGS.x:
    return
  numbers = [
    column
    for column, value in columns_of(cells[0]).items()
    if find_field(column).kind in (int, float) and value is not None
  ]
  if FLAGS.x == AGGREGATE:
    if all(cell.defence.learners == 1 for cell in cells):
      raise InputError('--x=aggregate, but no cell is a sum: --defences=none,4*aggregate')
    return
  if FLAGS.x not in numbers:
    raise unknown('x', FLAGS.x, numbers)
  if FLAGS.x == 'noise_scale' and not any(cell.defence.scale for cell in cells):
    raise InputError('--x=noise_scale, but no cell has noise: give --defences, --noise_scales')


def _folder(name: str) -> Path:
  """The folder that a flag names."""
  return arguments.folder(name, FLAGS[name].value)


def _quick(axes: Axes) -> Axes:
  """A small version of the sweep, whose results show the layout and not the science."""
  ends = {column: list(dict.fromkeys([v[0], v[-1]])) for column, v in axes.items() if v}
  first = (axes.get('dataset') or [FIELDS['dataset'].default])[0]
  sample = f'{first}_sample' if first in ('mnist', 'fashion_mnist') else first
  limited = [FIELDS[name] for name in _QUICK if name in FIELDS]
  limited += [f for name in PLAYED for f in option_fields(name) if f.attribute in _QUICK]
  small = {
    field.column: [min(v, _QUICK[field.attribute]) for v in _values(field, axes)]
    for field in limited
  }
  trials = {'trials': [_QUICK_TRIALS], 'calibration_trials': [_QUICK_TRIALS]}
  return axes | ends | small | trials | {'dataset': [sample]}


def _values(field: Field, axes: Axes) -> list[Any]:
  """The requested values, or the default."""
  return axes.get(field.column, [field.default])
