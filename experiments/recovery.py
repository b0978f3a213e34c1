"""Recovery of all images of a task from one gradient: `python -m experiments.recovery ...`.

The flags are those of the sweep; of an attack, only the pool and the number of trials are
used. The task of each trial is drawn as in the sweep, and its learner sends a gradient. From
that gradient, the model and the number of images, `mamljax.recovery` computes the images of
both sets. Writes OUT/recovery.csv, and the images of the first task as OUT/recovery.png.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.config import flags
from experiments.config.cell import Cell
from experiments.config.columns import columns_of, describe
from experiments.engine import models
from experiments.process import bounds, cli, provenance
from experiments.store import cells, runs
from experiments.studies import recovery
from mamljax import atomic
from mamljax.audit.metrics import proportion
from mamljax.errors import Diverged, InputError

HALF_A_LEVEL = 0.5 / 255  # images closer than this are the same in 8 bits
COLUMNS = (
  *('dataset', 'network', 'ways', 'shots', 'inner_steps', 'inner_learning_rate', 'epoch'),
  *('pool', 'images', 'tasks', 'whole_tasks', 'whole_low', 'whole_high', 'same_images'),
  *('ssim', 'median_error', 'samples', 'seconds_per_task', 'seed', 'git_revision'),
)

_SAMPLES = bounds.integer(
  'samples',
  20_000,
  bounds.Bounds(1, 100_000_000, 'sets'),
  'number of sets of columns to try',
)


def main(argv: Sequence[str]) -> None:
  """Recovers the images of each cell's tasks, then prints the table."""
  del argv
  sweep = flags.read(keys=models.with_keys)
  for folder in (sweep.output_dir, sweep.store_dir):
    cells.check_output_dir(folder)
  runs.check_kind(sweep.output_dir)
  for cell in sweep.cells:
    recovery.check(cell, models.splits_of(cell, sweep.data_dir), samples=_SAMPLES.value)
  if sweep.dry_run:
    print(
      *(
        f'{cell.data.dataset} {cell.task.ways}-way {cell.task.shots}-shot'
        for cell in sweep.cells
      ),
      sep='\n',
    )
    return
  runs.begin(sweep.output_dir, 'recovery.csv')
  rows: list[dict[str, Any]] = []
  for cell in sweep.cells:
    try:
      result = recovery.read_images(cell, sweep, samples=_SAMPLES.value)
    except Diverged as error:
      logging.warning('no result: %s: %s', describe(cell), error)
      continue
    if not rows:
      figures.save(_draw(result), sweep.output_dir / 'recovery.png', private=True)
    rows.append(_row(cell, result))
    atomic.write_text(sweep.output_dir / 'recovery.csv', csv_text(_columns(rows), rows))
  runs.write_run(sweep.output_dir, store_dir=sweep.store_dir)
  if rows:
    print(csv_text(COLUMNS, [{name: row[name] for name in COLUMNS} for row in rows]))
  if lost := len(sweep.cells) - len(rows):
    raise InputError(f'{lost} cells have no result, as warned above')


def _row(cell: Cell, result: recovery.Recovery) -> dict[str, Any]:
  """A line of the table, with the share of tasks that were recovered whole."""
  same = result.errors < HALF_A_LEVEL
  whole = proportion(int(same.all(axis=1).sum()), len(same))
  asked = {'epoch': cell.game.epoch, 'pool': cell.game.pool}
  return (
    columns_of(cell.recipe)
    | asked
    | {
      'images': same.shape[1],
      'tasks': len(same),
      'whole_tasks': whole.value if whole else None,
      'whole_low': whole.low if whole else None,
      'whole_high': whole.high if whole else None,
      'same_images': float(same.mean()),
      'ssim': float(result.similarity.mean()),
      'median_error': float(np.median(result.errors)),
      'samples': _SAMPLES.value,
      'seconds_per_task': result.seconds,
      'git_revision': provenance.git_revision(),
    }
  )


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
  """`COLUMNS` and the other fields of the rows, so that no two cells look the same."""
  return [*dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])]


def _draw(result: recovery.Recovery) -> Any:
  """The images of the first task above the recovered ones."""
  farthest = np.abs(result.recovered[:, None] - result.truth[None]).max(axis=(2, 3, 4))
  return figures.gallery(
    {
      'the two sets': result.truth,
      'recovered from the gradient': result.recovered[farthest.argmin(axis=0)],
    }
  )


if __name__ == '__main__':
  cli.cache_compilations()
  cli.run(main)
