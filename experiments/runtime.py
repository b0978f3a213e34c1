"""Run time of an attack (Tables III, IV): `python -m experiments.runtime --flagfile=...`.

Times one candidate alone and its share of a batch, for each size of task and number of
iterations, and writes OUT/runtimes.csv and OUT/runtimes.png. The model is untrained, since run
time does not depend on the values of its parameters. Other load disturbs the times.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.config.cell import Cell
from experiments.config.columns import find_field, make_cell
from experiments.config.sections import Execution
from experiments.config.workload import with_chunk
from experiments.engine import checking, models
from experiments.engine.setting import make_setting
from experiments.process import arguments, bounds, cli
from experiments.process.bounds import Bounds
from experiments.process.progress_bars import bar
from experiments.store import runs
from experiments.store.cells import check_output_dir
from experiments.studies import attack_times
from mamljax import atomic
from mamljax.audit.blocks import CHUNKS_PER_BLOCK
from mamljax.checks import TARGETS
from mamljax.errors import InputError

_TARGETS = flags.DEFINE_list(
  'targets', 'query', 'attacked sets: query (Table IV), support (Table III)'
)
_SIZES = flags.DEFINE_list('sizes', '3x1,5x1,5x2,5x3,5x4', 'tasks, each WAYSxSHOTS')
_ITERATIONS = flags.DEFINE_list('iterations', '50,100,200', 'numbers of reconstruction steps')
_CELL = flags.DEFINE_list('cell', '', 'other columns of a cell, such as activation=softplus')
_REPEATS = bounds.integer(
  'repeats', 5, Bounds(1, 100_000, 'candidates'), 'number of candidates timed alone'
)
_CANDIDATES = bounds.integer(
  'candidates',
  0,
  Bounds(0, 10_000_000, 'candidates'),
  'number of candidates in a batch; 0: as few as keep all devices busy',
)
_CHUNK = bounds.integer(
  'chunk',
  0,
  bounds.of(Execution)['chunk']._replace(least=0),
  'number of candidates computed together; 0: chosen for the backend',
)
_QUICK = flags.DEFINE_bool(
  'quick', False, 'extreme sizes and fewest iterations only; OUT_quick'
)
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'folder of prepared data sets')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out', 'folder to which the times are written')


def main(argv: Sequence[str]) -> None:
  """Times the attack of every cell, then prints the table."""
  del argv
  cells, folder = _read_cells(), arguments.folder('output_dir', _OUTPUT_DIR.value)
  folder = cli.quick_folder(folder) if _QUICK.value else folder
  data_dir = arguments.folder('data_dir', _DATA_DIR.value) if _DATA_DIR.value else None
  check_output_dir(folder)
  checking.check_cells(cells, data_dir)
  runs.begin(folder, 'runtimes.csv')
  rows: list[attack_times.Runtime] = []
  for cell in bar(cells, unit='cell'):
    splits = models.splits_of(cell, data_dir)
    params = models.initial_state(cell.recipe, splits).params
    setting, _ = make_setting(cell, params, splits.references)
    batch = _CANDIDATES.value or CHUNKS_PER_BLOCK * cell.execution.chunk * jax.device_count()
    rows.append(
      attack_times.measure(
        cell, setting, splits.victims, repeats=_REPEATS.value, candidates=batch
      )
    )
    _write(folder, rows)
  runs.write_run(folder)
  print(attack_times.format_runtimes(rows))


def _read_cells() -> list[Cell]:
  """The cells given by the flags, in the order of target, size and iterations."""
  sizes = sorted(
    {_size(item) for item in _SIZES.value}, key=lambda size: (math.prod(size), size)
  )
  iterations = sorted(set(map(_iterations, _ITERATIONS.value)))
  targets = cli.chosen('target', _TARGETS, TARGETS)
  if not (sizes and iterations):
    raise InputError(f'no value is given for {"iterations" if sizes else "sizes"}')
  if _QUICK.value:
    sizes, iterations = sorted({sizes[0], sizes[-1]}), iterations[:1]
  fields = dict(map(_field, _CELL.value))
  cells = [
    make_cell(
      **fields, target=target, ways=ways, shots=shots, **{'reconstruction.iterations': steps}
    )
    for target in targets
    for ways, shots in sizes
    for steps in iterations
  ]
  return [with_chunk(cell, _CHUNK.value) for cell in cells]


def _size(item: str) -> tuple[int, int]:
  """Ways and shots from WAYSxSHOTS."""
  match = re.fullmatch(r'(\d{1,9})x(\d{1,9})', item.strip())
  if not match:
    raise InputError(f'--sizes: {item!r} is not WAYSxSHOTS, such as 5x1')
  return int(match[1]), int(match[2])


def _field(item: str) -> tuple[str, Any]:
  """A column of a cell and its value, from COLUMN=VALUE."""
  name, _, text = item.strip().partition('=')
  field = find_field(name)
  try:
    return name, field.parse(text)
  except ValueError as error:
    raise InputError(f'--cell: {text!r} is not {field.wanted}') from error


def _iterations(item: str) -> int:
  """A number of steps, from its text."""
  try:
    return int(item)
  except ValueError as error:
    raise InputError(f'--iterations: {item!r} is not a whole number') from error


def _write(folder: Path, rows: Sequence[attack_times.Runtime]) -> None:
  """Writes the times measured so far, as a table and as a figure."""
  table = csv_text(attack_times.Runtime._fields, [row._asdict() for row in rows])
  atomic.write_text(folder / 'runtimes.csv', table)
  figures.save(attack_times.draw_runtimes(rows), folder / 'runtimes.png')


if __name__ == '__main__':
  cli.use_all_cores()
  cli.run(main)
