"""Attack many cells: `python -m experiments.sweep --flagfile=...`.

Finished cells are kept in the output folder; the same command on it resumes, also inside a
cell. With --num_shards several tasks, on one machine or many, share the cells of one folder.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from experiments.analysis import ceiling, curves, figures, tables
from experiments.config import flags, sharing
from experiments.config.columns import describe
from experiments.config.sweep import Sweep
from experiments.engine import checking, models
from experiments.process import cli, distributed, preemption
from experiments.store import cells as cell_files
from experiments.store import runs
from experiments.store.reconstructions import read_examples
from experiments.sweeping import coordinator, cost, folders, plan, queue

MAX_PAIRED = 6  # cells whose reconstructions fit one picture
MAX_FITTED = 2000  # finished cells that a dry run learns costs from


def main(argv: Sequence[str]) -> None:
  """Computes the cells that are not there yet, then prints the table of all of them."""
  del argv
  how = sharing.read()
  if not flags.FLAGS.dry_run:
    distributed.start(how.distributed)
  sweep = flags.read(keys=models.with_keys)
  for folder in (sweep.output_dir, sweep.store_dir):
    cell_files.check_output_dir(folder)
  sweep = sweep.without(checking.refused(sweep.cells, sweep.data_dir))
  if skipped := sweep.skips():
    logging.warning('%s', skipped)
  folders.check(sweep.output_dir, sweep.store_dir, sweep.cells)
  if sweep.dry_run:
    print(*_dry_run(sweep, how), sep='\n')
    return
  found = coordinator.Coordinator(sweep, how)
  with preemption.listening():
    found.compute()
  preemption.heed()
  if distributed.is_first():
    found.conclude(functools.partial(_conclude, sweep))
    found.explain()


def _conclude(sweep: Sweep, found: list[cell_files.Summary]) -> None:
  """Writes what made the folder, draws the pictures, and then prints the table."""
  if not found:
    return
  runs.write_run(
    sweep.output_dir,
    store_dir=sweep.store_dir,
    cells=[result.cell for result in found],
    x=sweep.x,
  )
  path, (picture, trends) = sweep.output_dir / 'results.csv', _draw(sweep, found)
  print(tables.format_table(found), *ceiling.statements(found), '', *trends, sep='\n')
  print(f'{len(found)} cells in {path}, the first pictured in {picture}')


def _dry_run(sweep: Sweep, how: sharing.Operation) -> list[str]:
  """What this task would compute, and what that is expected to take."""
  there = cell_files.finished(sweep.store_dir)
  looked_at = (cell_files.glance(sweep.store_dir, name) for name in sorted(there)[:MAX_FITTED])
  known = [summary for summary in looked_at if summary]
  costs = cost.fit(known)
  cells = [cell for cell in sweep.cells if queue.in_share(cell, **how.share)]
  left = [cell for cell in cells if cell_files.cell_hash(cell) not in there]
  done = [f'finished  {describe(cell)}' for cell in cells if cell not in left]
  ordered = queue.in_order(left, costs, **how.share)
  return [*done, *plan.lines(ordered, costs, known=len(known), total=len(cells))]


def _draw(sweep: Sweep, found: list[cell_files.Summary]) -> tuple[Path, list[Any]]:
  """Draws the first cell that has a result, and the curves that were asked for.

  Returns:
    The path of the first cell's picture, and the curves in words.
  """
  path = sweep.output_dir / 'picture.png'
  (first,) = _whole(sweep, found[:1])
  examples = read_examples(sweep.store_dir, first.cell)
  figures.save(figures.picture(first, examples), path, private=True)
  if 1 < len(found) <= MAX_PAIRED:
    _draw_pairs(sweep, found)
  if not sweep.x:
    return path, []
  figures.save(curves.curves(found, sweep.x), sweep.output_dir / 'curves.png')
  areas = curves.areas(found) if sweep.x == 'noise_scale' else []
  return path, [*curves.trend(found, sweep.x), *areas]


def _whole(sweep: Sweep, found: list[cell_files.Summary]) -> list[cell_files.CellResult]:
  """The same results with their trials."""
  names = [summary.hash for summary in found]
  return cell_files.read_cells(sweep.store_dir, names)


def _draw_pairs(sweep: Sweep, found: list[cell_files.Summary]) -> None:
  """Draws the reconstructions of a few cells, where there are any, below each other."""
  pictured = (
    (result, read_examples(sweep.store_dir, result.cell)) for result in _whole(sweep, found)
  )
  drawn = [(result, examples) for result, examples in pictured if examples]
  if len(drawn) > 1:
    figures.save(figures.pairs(drawn), sweep.output_dir / 'pairs.png', private=True)


if __name__ == '__main__':
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
