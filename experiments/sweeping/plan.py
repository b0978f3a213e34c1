"""What a sweep is going to compute: OUT/plan.json, for whoever watches it."""

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

_SHOWN = 5  # folders in a message


class Planned(NamedTuple):
  """A cell of a plan: its short name, the seconds that it takes on one device, its trials."""

  name: str
  seconds: Annotated[float, 0]
  trials: Annotated[int, 0] = 0


class Plan(NamedTuple):
  """A sweep before it is computed.

  Attributes:
    store: the folder of its cells, from OUT.
    cells: its cells by hash, in the order of the grid.
    command: what computes it; '' in older plans.
  """

  store: Annotated[str, records.PATH]
  cells: dict[Annotated[str, records.NAME], Planned]
  command: str = ''


def write(output_dir: Path, store_dir: Path, cells: Sequence[Cell], costs: cost.Costs) -> None:
  """Writes the plan of a sweep, whole or not at all."""
  planned = {
    cell_hash(cell): Planned(
      describe(cell),
      float(f'{costs.expect(cell).seconds:.4g}'),  # of a tiny cell, too, more than 0
      cell.game.trials + cell.game.calibration_trials,
    )
    for cell in cells
  }
  plan = Plan(runs.relate(store_dir, output_dir), planned, runs.command())
  atomic.write_text(output_dir / 'plan.json', json.dumps(plan._asdict(), indent=0) + '\n')


def read(output_dir: Path) -> Plan:
  """What `write` wrote.

  Raises:
    InputError: if no sweep was started in this folder, or it is not one of ours.
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
  """The folders that may have been meant: below it, or of a longer name, as with --quick."""
  parent, name = output_dir.parent, glob.escape(output_dir.name)
  below = (path for depth in ('*/', '*/*/') for path in output_dir.glob(f'{depth}plan.json'))
  paths = [*below, *parent.glob(f'{name}?*/plan.json')]
  found = sorted(str(path.parent) for path in paths)[:_SHOWN]
  return f', but there is one in {", ".join(found)}' if found else ''


def lines(cells: Sequence[Cell], costs: cost.Costs, *, known: int, total: int) -> list[str]:
  """A line for each cell with its expected time and memory, and one for all.

  Args:
    cells: in the order in which they are taken.
    costs: what they are expected to take.
    known: how many finished cells that was learned from.
    total: how many cells there are, with those that are finished.
  """
  expected = [costs.expect(cell) for cell in cells]
  told = [f'{_cost(e)}  {describe(cell)}' for e, cell in zip(expected, cells, strict=True)]
  seconds = sum(e.seconds for e in expected)
  memory = max((e.memory for e in expected), default=0)
  source = f'fitted to {known} finished cells' if known else 'a guess: no cell is finished'
  both = _cost(cost.Expected(seconds, memory))
  return [*told, f'{total} cells: {both}, on one device ({source})']


def duration(seconds: float) -> str:
  """A time for a person.

  >>> duration(5), duration(600), duration(36_000)
  ('5 s', '10 min', '10.0 h')
  """
  if seconds < 120:
    return f'{seconds:.2g} s' if seconds < 10 else f'{seconds:.0f} s'
  return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def _cost(expected: cost.Expected) -> str:
  return f'{duration(expected.seconds)}, {expected.memory / 2**30:.1f} GiB'
