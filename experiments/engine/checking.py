"""What cannot be computed, refused before anything is: by a run and by --dry_run alike."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.config.attacks import attacks_of
from experiments.config.cell import Cell
from experiments.engine import memory, models, stages
from mamljax.attacks.base import name_of
from mamljax.data import Splits


def check_cells(cells: Iterable[Cell], data_dir: Path | None) -> None:
  """Refuses a grid for its last cell, too, which would be found out after a night.

  Cells that differ in real numbers and seeds alone are looked at once.

  Raises:
    InputError: if the data are not there, or do not allow a cell's tasks; if its attack cannot
      be run on its network or images; or if it cannot fit the memory.
  """
  for cell in {_kind(cell): cell for cell in cells}.values():
    check_cell(cell, models.splits_of(cell, data_dir))


def check_cell(cell: Cell, splits: Splits) -> None:
  """The same of one cell whose data are there."""
  memory.check(cell, splits)  # first: it builds nothing
  check_pixels(cell, splits)
  stages.check(cell, splits)


def check_pixels(cell: Cell, splits: Splits) -> None:
  """Refuses images that are too small for what a cell's attack does with them.

  Raises:
    InputError: if they are.
  """
  for attack in attacks_of(cell):
    needed_for = f'attack {name_of(attack)!r}'
    models.check_pixels(cell, splits, attack.smallest_image, needed_for)


def _kind(cell: Cell) -> tuple[Any, ...]:
  """What decides whether a cell can be: all but its real numbers and its seed."""
  fields = dataclasses.asdict(cell)
  return tuple(v for k, v in fields.items() if not isinstance(v, float) and k != 'seed')
