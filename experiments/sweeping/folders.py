"""Checks of an output folder that already holds results, so that none of them is lost.

A sweep may continue in the folder if it asks for all cells that are published there, and
perhaps for more; any other sweep is refused. If data or code have changed, the same cells have
other names: the earlier table is then kept beside the new one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.analysis import results_csv
from experiments.config.cell import Cell
from experiments.config.columns import STAMPS, columns_of
from experiments.store import runs
from experiments.store.cells import cell_hash, glance
from experiments.sweeping import plan
from mamljax.errors import InputError


def check(output_dir: Path, store_dir: Path, cells: Sequence[Cell]) -> None:
  """Checks that a sweep of these cells asks for all cells that are published in a folder.

  Raises:
    InputError: if cells would be lost, or the table or run.json of the folder is damaged.
  """
  runs.check_kind(output_dir)
  other = _other_cells(output_dir, cells)
  asked = {_question(columns_of(cell)) for cell in cells}
  if other and not _questions(store_dir, other) <= asked:
    raise InputError(
      f'{output_dir} holds {len(other)} cells that are not asked for now, of '
      f'{_command(output_dir)}: give another --output_dir (with --store_dir={store_dir} what '
      'is finished there is not computed again), or ask for those cells too'
    )


def check_own(output_dir: Path, cells: Sequence[Cell]) -> None:
  """Checks that no other command has put cells into a folder since a sweep of these began.

  Raises:
    InputError: if one has, since its lines in the table would be lost.
  """
  if other := _other_cells(output_dir, cells):
    raise InputError(
      f'another command, or one of other data or code, writes into {output_dir} at the same '
      f'time: of its {len(other)} cells none is asked for here; give one another --output_dir'
    )


def is_replaced(output_dir: Path, cells: Sequence[Cell]) -> bool:
  """Tests whether a folder has a table with cells of other data or code than these."""
  return bool(_other_cells(output_dir, cells))


def keep_replaced(output_dir: Path, cells: Sequence[Cell]) -> None:
  """Renames the table of other data or code; must be called by one task alone."""
  if is_replaced(output_dir, cells):
    runs.keep_replaced(output_dir, results_csv.NAME, reason='other data or code')


def _other_cells(output_dir: Path, cells: Iterable[Cell]) -> set[str]:
  """The hashes of the cells that are published in a folder and are none of these."""
  run = runs.find_run(output_dir)
  published = {*results_csv.read_csv(output_dir), *(run.cells if run else ())}
  return published - {cell_hash(cell) for cell in cells}


def _questions(store_dir: Path, names: Iterable[str]) -> set[Any]:
  """The configurations of cells without data and code; None for a cell without a file."""
  summaries = (glance(store_dir, name) for name in names)
  return {_question(summary.columns) if summary else None for summary in summaries}


def _question(columns: dict[str, Any]) -> frozenset[tuple[str, Any]]:
  """A configuration without the stamps of its data and code."""
  return frozenset((k, str(v)) for k, v in columns.items() if k not in STAMPS)


def _command(output_dir: Path) -> str:
  """The command that made a folder, or 'another command' if it is unknown."""
  run = runs.find_run(output_dir)
  if run:
    return run.command
  try:
    return plan.read(output_dir).command or 'another command'
  except InputError:
    return 'another command'
