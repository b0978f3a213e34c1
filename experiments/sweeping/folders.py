"""An output folder that holds results already: which sweep may go on in it.

What is published there stays: a sweep of all of its cells, and perhaps of more, may go on, any
other is refused. Where data or code have changed since, the same cells have other names: the
earlier table is kept beside the new one.
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
  """Makes sure that a sweep of these cells loses nothing that is published in a folder.

  Raises:
    InputError: if it would, or the folder's table or run.json is not one of ours.
  """
  runs.check_kind(output_dir)
  strange = _strange(output_dir, cells)
  asked = {_question(columns_of(cell)) for cell in cells}
  if strange and not _questions(store_dir, strange) <= asked:
    raise InputError(
      f'{output_dir} holds {len(strange)} cells that are not asked for now, of '
      f'{_command(output_dir)}: give another --output_dir (with --store_dir={store_dir} what '
      'is finished there is not computed again), or ask for those cells too'
    )


def check_own(output_dir: Path, cells: Sequence[Cell]) -> None:
  """Makes sure that nobody has put other cells into a folder since a sweep of these began.

  Raises:
    InputError: if somebody has: their lines would be lost.
  """
  if strange := _strange(output_dir, cells):
    raise InputError(
      f'another command, or one of other data or code, writes into {output_dir} at the same '
      f'time: of its {len(strange)} cells none is asked for here; give one another --output_dir'
    )


def is_replaced(output_dir: Path, cells: Sequence[Cell]) -> bool:
  """Whether a folder has a table of other data or code than these cells are of."""
  return bool(_strange(output_dir, cells))


def keep_replaced(output_dir: Path, cells: Sequence[Cell]) -> None:
  """Renames the table of other data or code, to be called by one task alone."""
  if is_replaced(output_dir, cells):
    runs.keep_replaced(output_dir, results_csv.NAME, reason='other data or code')


def _strange(output_dir: Path, cells: Iterable[Cell]) -> set[str]:
  """The cells that are published in a folder and are none of these."""
  run = runs.find_run(output_dir)
  published = {*results_csv.read_csv(output_dir), *(run.cells if run else ())}
  return published - {cell_hash(cell) for cell in cells}


def _questions(store_dir: Path, names: Iterable[str]) -> set[Any]:
  """What cells of these hashes were asked; None stands for those that cannot tell any more."""
  found = (glance(store_dir, name) for name in names)
  return {_question(summary.columns) if summary else None for summary in found}


def _question(columns: dict[str, Any]) -> frozenset[tuple[str, Any]]:
  """A configuration, whatever data and code it is of."""
  return frozenset((k, str(v)) for k, v in columns.items() if k not in STAMPS)


def _command(output_dir: Path) -> str:
  """The command that made a folder, as far as it is known."""
  run = runs.find_run(output_dir)
  if run:
    return run.command
  try:
    return plan.read(output_dir).command or 'another command'
  except InputError:
    return 'another command'
