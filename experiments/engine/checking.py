"""Checks of cells before any is computed, alike for a run and for --dry_run."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from experiments.config.attacks import attacks_of
from experiments.config.cell import Cell
from experiments.config.columns import columns_of
from experiments.engine import memory, models
from experiments.engine.setting import refusal
from mamljax.data import Splits
from mamljax.errors import InputError


def refused(cells: Iterable[Cell], data_dir: Path | None) -> Iterator[tuple[Cell, str]]:
  """The cells whose attack cannot be run on their network or images, each with the reason.

  A grid is looked at to its last cell, which else would be found out after a night. Of cells
  that differ in real numbers and seeds alone one is looked at.

  Raises:
    InputError: if the data are not there, or do not allow a cell's tasks; or if a cell cannot
      fit the memory.
  """
  known: dict[Any, str | None] = {}
  for cell in cells:
    kind = _kind(cell)
    if kind not in known:
      known[kind] = _refusal(cell, data_dir)
    if (reason := known[kind]) is not None:
      yield cell, reason


def check_cells(cells: Iterable[Cell], data_dir: Path | None) -> None:
  """Refuses cells whose attack cannot be run, among other faults.

  Raises:
    InputError: as `refused` does, or with the reason.
  """
  for _, reason in refused(cells, data_dir):
    raise InputError(reason)


def _refusal(cell: Cell, data_dir: Path | None) -> str | None:
  """The reason why the attack of a cell cannot be run; None if it can."""
  splits = models.splits_of(cell, data_dir, learners=models.learners_of(cell))
  reason = _too_small(cell, splits)
  memory.check(cell, splits)  # before what builds anything
  return reason or refusal(cell, splits)


def _too_small(cell: Cell, splits: Splits) -> str | None:
  """The reason why an attack cannot be run on images of this size; None if it can."""
  try:
    check_pixels(cell, splits)
  except InputError as error:
    return str(error)
  return None


def check_pixels(cell: Cell, splits: Splits) -> None:
  """Refuses images that are too small for a cell's attack.

  Raises:
    InputError: if they are.
  """
  for part in cell.alone:
    for attack in attacks_of(part.attack):
      needed_for = f'attack {part.attack_name!r}'
      models.check_pixels(cell, splits, attack.smallest_image, needed_for)


def _kind(cell: Cell) -> tuple[Any, ...]:
  """The part of a cell that decides whether it can run: all but real numbers and the seed."""
  columns = columns_of(cell)
  return tuple(v for k, v in columns.items() if not isinstance(v, float) and k != 'seed')
