"""Meta-training of the models of a grid: `python -m experiments.train --flagfile=...`.

Trains each model of the grid to each of `--epochs`, keeps a checkpoint of each epoch, and
writes the accuracy on new tasks, of images held out from training, to OUT/learning.csv and
OUT/learning.png. The flags are those of the sweep; those of the attack are not used.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.config import flags
from experiments.config.cell import Recipe
from experiments.config.columns import columns_of
from experiments.config.sweep import Sweep
from experiments.engine import memory, models
from experiments.process import cli, preemption
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic
from mamljax.errors import Diverged, InputError

COLUMNS = (
  *('dataset', 'network', 'ways', 'shots', 'order', 'inner_steps', 'inner_learning_rate'),
  *('defence', 'noise_scale', 'epoch', 'rounds', 'accuracy', 'accuracy_low', 'accuracy_high'),
  *('tasks', 'seed'),
)


def main(argv: Sequence[str]) -> None:
  """Trains and tests every model of the grid."""
  del argv
  sweep = flags.read(keys=models.with_keys)
  epochs: dict[Recipe, list[int]] = {}
  for cell in sweep.cells:
    epochs.setdefault(cell.recipe, []).append(cell.game.epoch)
  cells.check_output_dir(sweep.output_dir)
  cells.check_output_dir(sweep.store_dir)
  runs.check_kind(sweep.output_dir)
  for recipe in epochs:
    memory.check_training(recipe, models.splits_of(recipe, sweep.data_dir))
  if sweep.dry_run:
    print(*(f'{_describe(recipe)}: epochs {at}' for recipe, at in epochs.items()), sep='\n')
    return
  runs.begin(sweep.output_dir, 'learning.csv')
  rows: list[dict[str, Any]] = []
  total = sum(len(set(at)) for at in epochs.values())
  tested = itertools.chain(*(_learn(recipe, at, sweep) for recipe, at in epochs.items()))
  with preemption.listening():
    for row in bar(tested, total=total, unit='epoch'):
      rows.append(row)
      _write(sweep, rows)
  preemption.heed()
  runs.write_run(sweep.output_dir, store_dir=sweep.store_dir)
  if rows:
    print(csv_text(COLUMNS, [{name: row[name] for name in COLUMNS} for row in rows]))
  if len(rows) < total:
    raise InputError(f'{total - len(rows)} epochs have no result, as warned above')


def _learn(recipe: Recipe, epochs: list[int], sweep: Sweep) -> Iterator[dict[str, Any]]:
  """The row of each epoch, as training reaches it; no more rows once training diverges."""
  try:
    yield from _test(recipe, epochs, sweep)
  except Diverged as error:
    logging.warning('no result: %s: %s', _describe(recipe), error)


def _describe(recipe: Recipe) -> str:
  """The name of a model in a message."""
  game = f'{recipe.data.dataset} {recipe.task.ways}-way {recipe.task.shots}-shot'
  return f'{game} {recipe.model.network_name}'


def _test(recipe: Recipe, epochs: list[int], sweep: Sweep) -> Iterator[dict[str, Any]]:
  """The row of each epoch.

  Raises:
    Diverged: if training diverges, or the inner loop of a new task does.
  """
  splits = models.splits_of(recipe, sweep.data_dir)
  states = models.trained_states(recipe, epochs, splits=splits, store_dir=sweep.store_dir)
  for epoch, state in states:
    learned = models.measure_learning(recipe, epoch, state, splits)
    yield {
      'epoch': epoch,
      'rounds': int(state.round),
      'accuracy': learned.accuracy,
      'accuracy_low': learned.low,
      'accuracy_high': learned.high,
      'tasks': learned.tasks,
    } | columns_of(recipe)


def _write(sweep: Sweep, rows: list[dict[str, Any]]) -> None:
  """Writes the rows so far as a table and as a picture."""
  columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
  atomic.write_text(sweep.output_dir / 'learning.csv', csv_text(columns, rows))
  figures.save(figures.learning(rows), sweep.output_dir / 'learning.png')


if __name__ == '__main__':
  cli.use_all_cores()
  cli.cache_compilations()
  cli.run(main, resumes=True)
