"""Plan of a sweep, from which its progress is reported: OUT/plan.json."""

import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from experiments.config.cell import Cell
from experiments.config.columns import describe
from experiments.store import records, runs
from experiments.store.cells import cell_hash
from experiments.sweeping import cost
from mamljax import atomic
from mamljax.errors import InputError

_MAX_FOLDERS = 5  # in a message


class Planned(NamedTuple):
  """A cell of a plan.

  Attributes:
    name: short name of the cell.
    seconds: expected time on one device.
    trials: number of its trials.
  """

  name: str
  seconds: Annotated[float, 0]
  trials: Annotated[int, 0] = 0


class Plan(NamedTuple):
  """A sweep before it is computed.

  Attributes:
    store: the path, relative to OUT, of the folder with the files of the cells.
    cells: the cells by hash, in the order of the grid.
    command: the command of the sweep; '' in older plans.
  """

  store: Annotated[str, records.PATH]
  cells: dict[Annotated[str, records.NAME], Planned]
  command: str = ''


def write(output_dir: Path, store_dir: Path, cells: Sequence[Cell], costs: cost.Costs) -> None:
  """Writes the plan of a sweep, whole or not at all."""
  planned = {
    cell_hash(cell): Planned(
      describe(cell),
      float(f'{costs.expect(cell).seconds:.4g}'),  # more than 0 for a tiny cell, too
      cell.game.trials + cell.game.calibration_trials,
    )
    for cell in cells
  }
  plan = Plan(runs.relate(store_dir, output_dir), planned, runs.command())
  atomic.write_text(output_dir / 'plan.json', json.dumps(plan._asdict(), indent=0) + '\n')


def read(output_dir: Path) -> Plan:
  """The plan of the sweep in a folder.

  Raises:
    InputError: if no sweep was started in this folder, or its plan is damaged.
  """
  path = output_dir / 'plan.json'
  try:
    return records.read_json(path, Plan)
  except FileNotFoundError:
    none = f'no sweep was started in {output_dir}, or only just: it has no plan.json'
    raise InputError(none + _near(output_dir)) from None
  except (OSError, records.Unfit) as error:
    raise InputError(f'{path} is no plan of ours: {error}') from error


def _near(output_dir: Path) -> str:
  """Words about plans nearby: in subfolders, or in folders with a longer name (--quick)."""
  parent, name = output_dir.parent, glob.escape(output_dir.name)
  below = (path for depth in ('*/', '*/*/') for path in output_dir.glob(f'{depth}plan.json'))
  paths = [*below, *parent.glob(f'{name}?*/plan.json')]
  nearby = sorted(str(path.parent) for path in paths)[:_MAX_FOLDERS]
  return f', but there is one in {", ".join(nearby)}' if nearby else ''


def lines(cells: Sequence[Cell], costs: cost.Costs, *, known: int, total: int) -> list[str]:
  """A line for each cell with its expected time and memory, and one for all cells.

  Args:
    cells: the unfinished cells, in the order in which they are computed.
    costs: the model of their costs.
    known: number of finished cells to which the model was fitted.
    total: number of all cells, finished ones included.
  """
  expected = [costs.expect(cell) for cell in cells]
  each = [f'{_cost(e)}  {describe(cell)}' for e, cell in zip(expected, cells, strict=True)]
  seconds = sum(e.seconds for e in expected)
  memory = max((e.memory for e in expected), default=0)
  source = f'fitted to {known} finished cells' if known else 'a guess: no cell is finished'
  sum_and_peak = _cost(cost.Expected(seconds, memory))
  return [*each, f'{total} cells: {sum_and_peak}, on one device ({source})']


def duration(seconds: float) -> str:
  """A duration in words, for a person.

  >>> duration(5), duration(600), duration(36_000)
  ('5 s', '10 min', '10.0 h')
  """
  if seconds < 120:
    return f'{seconds:.2g} s' if seconds < 10 else f'{seconds:.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def _cost(expected: cost.Expected) -> str:
  return f'{duration(expected.seconds)}, {expected.memory / 2**30:.1f} GiB'
