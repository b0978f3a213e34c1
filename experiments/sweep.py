"""Attacks on the cells of a grid: `python -m experiments.sweep --flagfile=...`.

Finished cells are kept in the output folder. The same command on the same folder resumes the
sweep, also inside a cell. With --num_shards several tasks, on one machine or many, share the
cells of one folder.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from experiments.analysis import ceiling, curves, figures, networks, tables
from experiments.config import flags, sharing
from experiments.config.columns import describe
from experiments.config.sweep import Sweep
from experiments.engine import checking, models
from experiments.process import cli, distributed, preemption
from experiments.store import cells as cell_files
from experiments.store import runs
from experiments.store.reconstructions import read_examples
from experiments.sweeping import coordinator, cost, folders, plan, queue

MAX_PAIRED = 6  # cells whose reconstructions fit into one picture
MAX_FITTED = 2000  # finished cells to which a dry run fits costs


def main(argv: Sequence[str]) -> None:
  """Computes the cells that are not finished, then prints the table of all finished cells."""
  del argv
  operation = sharing.read()
  if not flags.FLAGS.dry_run:
    distributed.start(operation.distributed)
  sweep = flags.read(keys=models.with_keys)
  for folder in (sweep.output_dir, sweep.store_dir):
    cell_files.check_output_dir(folder)
  sweep = sweep.without(checking.refused(sweep.cells, sweep.data_dir))
  if skipped := sweep.skips():
    logging.warning('%s', skipped)
  folders.check(sweep.output_dir, sweep.store_dir, sweep.cells)
  if sweep.dry_run:
    print(*_dry_run(sweep, operation), sep='\n')
    return
  task = coordinator.Coordinator(sweep, operation)
  with preemption.listening():
    task.compute()
  preemption.heed()
  if distributed.is_first():
    task.conclude(functools.partial(_conclude, sweep))
    task.explain()


def _conclude(sweep: Sweep, results: list[cell_files.Summary]) -> None:
  """Writes the record of the command, draws the pictures, and prints the table."""
  if not results:
    return
  runs.write_run(
    sweep.output_dir,
    store_dir=sweep.store_dir,
    cells=[result.cell for result in results],
    x=sweep.x,
  )
  path, (picture, trends) = sweep.output_dir / 'results.csv', _draw(sweep, results)
  networks.write(sweep.output_dir, results)
  print(tables.format_table(results), *ceiling.statements(results), '', *trends, sep='\n')
  print(f'{len(results)} cells in {path}, the first pictured in {picture}')


def _dry_run(sweep: Sweep, operation: sharing.Operation) -> list[str]:
  """The cells that this task would compute, with their expected time and memory."""
  store, share = sweep.store_dir, operation.share
  finished = cell_files.finished(store)
  glances = (cell_files.glance(store, name) for name in sorted(finished)[:MAX_FITTED])
  summaries = [summary for summary in glances if summary]
  costs = cost.fit(summaries)
  cells = [cell for cell in sweep.cells if queue.in_share(cell, **share)]
  left = [cell for cell in cells if cell_files.cell_hash(cell) not in finished]
  done = [f'finished  {describe(cell)}' for cell in cells if cell not in left]
  ordered = queue.in_order(left, costs, **share)
  return [*done, *plan.lines(ordered, costs, known=len(summaries), total=len(cells))]


def _draw(sweep: Sweep, results: list[cell_files.Summary]) -> tuple[Path, list[Any]]:
  """Draws the first finished cell, and the curves along the field `x` of the sweep.

  Returns:
    The path of the picture of the first cell, and the curves in words.
  """
  path = sweep.output_dir / 'picture.png'
  (first,) = _with_trials(sweep, results[:1])
  examples = read_examples(sweep.store_dir, first.cell)
  figures.save(figures.picture(first, examples), path, private=True)
  if 1 < len(results) <= MAX_PAIRED:
    _draw_pairs(sweep, results)
  if not sweep.x:
    return path, []
  figures.save(curves.curves(results, sweep.x), sweep.output_dir / 'curves.png')
  areas = curves.areas(results) if sweep.x == 'noise_scale' else []
  return path, [*curves.trend(results, sweep.x), *areas]


def _with_trials(
  sweep: Sweep, results: list[cell_files.Summary]
) -> list[cell_files.CellResult]:
  """The whole results of the cells of some summaries, read from the store."""
  names = [summary.hash for summary in results]
  return cell_files.read_cells(sweep.store_dir, names)


def _draw_pairs(sweep: Sweep, results: list[cell_files.Summary]) -> None:
  """Draws the reconstructions of a few cells below each other, if at least two have some."""
  whole = _with_trials(sweep, results)
  pairs = ((result, read_examples(sweep.store_dir, result.cell)) for result in whole)
  pictured = [(result, examples) for result, examples in pairs if examples]
  if len(pictured) > 1:
    figures.save(figures.pairs(pictured), sweep.output_dir / 'pairs.png', private=True)


if __name__ == '__main__':
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
