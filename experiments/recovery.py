"""How many images of a task are read off one gradient: `python -m experiments.recovery ...`.

The flags are those of the sweep; of an attack, only the pool and the number of trials are
used. A task of each trial is drawn as in the sweep, its learner sends a gradient, and all
images of both sets are read off it (`mamljax.recovery`), the model and their number
known. Writes OUT/recovery.csv and a picture, OUT/recovery.png, of the first task's images.
"""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import AxisType

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.config import bounds, flags
from experiments.config.cell import Cell, Model, describe
from experiments.config.streams import Stream, stream_key
from experiments.config.sweep import Sweep
from experiments.config.workload import good_chunk
from experiments.engine import memory, models, playing, stages
from experiments.process import cli, provenance
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic
from mamljax.audit.metrics import proportion
from mamljax.data import Splits
from mamljax.errors import Diverged, InputError
from mamljax.images import SSIM_WINDOW, ssim
from mamljax.recovery import recover_images
from mamljax.types import Params

HALF_A_LEVEL = 0.5 / 255  # closer than that, it is the same image of 8 bits
COLUMNS = (
  *('dataset', 'network', 'ways', 'shots', 'inner_steps', 'inner_learning_rate', 'epoch'),
  *('pool', 'images', 'tasks', 'whole_tasks', 'whole_low', 'whole_high', 'same_images'),
  *('ssim', 'median_error', 'samples', 'seconds_per_task', 'seed', 'git_revision'),
)
# What else sets two cells apart: two rows must not look the same.
REST = tuple(field.name for field in dataclasses.fields(Model) if field.name not in COLUMNS)

_SAMPLES = bounds.integer(
  'samples',
  20_000,
  bounds.Bounds(1, 100_000_000, 'sets'),
  'sets of columns that are tried',
)


class Read(NamedTuple):
  """What was read off the gradients of a cell.

  Attributes:
    errors: the farthest pixel of what is nearest to each true image [tasks, images].
    similarity: its SSIM, the same shape.
    seconds: of a task, compilation left out.
    truth, found: the images of the first task.
  """

  errors: np.ndarray
  similarity: np.ndarray
  seconds: float
  truth: np.ndarray
  found: np.ndarray


def main(argv: Sequence[str]) -> None:
  """Reads the images of each cell's tasks."""
  del argv
  sweep = flags.read(keys=models.with_keys)
  for folder in (sweep.output_dir, sweep.store_dir):
    cells.check_output_dir(folder)
  runs.check_kind(sweep.output_dir)
  for cell in sweep.cells:
    _check(cell, models.splits_of(cell, sweep.data_dir))
  if sweep.dry_run:
    print(
      *(f'{cell.dataset} {cell.ways}-way {cell.shots}-shot' for cell in sweep.cells), sep='\n'
    )
    return
  runs.begin(sweep.output_dir, 'recovery.csv')
  rows: list[dict[str, Any]] = []
  for cell in sweep.cells:
    try:
      read = _read(cell, sweep)
    except Diverged as error:
      logging.warning('no result: %s: %s', describe(cell), error)
      continue
    if not rows:
      figures.save(_draw(read), sweep.output_dir / 'recovery.png', private=True)
    rows.append(_row(cell, read))
    atomic.write_text(sweep.output_dir / 'recovery.csv', csv_text((*COLUMNS, *REST), rows))
  runs.write_run(sweep.output_dir, store_dir=sweep.store_dir)
  if rows:
    print(csv_text(COLUMNS, [{name: row[name] for name in COLUMNS} for row in rows]))
  if lost := len(sweep.cells) - len(rows):
    raise InputError(f'{lost} cells have no result, as warned above')


def _check(cell: Cell, splits: Splits) -> None:
  """Refuses, before anything is computed, a network that nothing can be read off."""
  models.check_pixels(cell, splits, SSIM_WINDOW, 'the SSIM of what is read')
  numbers = cell.trials * memory.sent_numbers(cell, splits)
  memory.require(f'keeping {cell.trials:,} gradients of {cell.network}', numbers)
  params = jax.eval_shape(lambda: models.initial_state(cell.model, splits).params)
  height, width, channels = splits.victims.images.shape[1:]
  recover = functools.partial(
    recover_images,
    shape=(height, width, channels),
    count=2 * cell.ways * cell.shots,
    samples=_SAMPLES.value,
  )
  jax.eval_shape(lambda params: recover(jax.random.key(0), params, params), params)


def _read(cell: Cell, sweep: Sweep) -> Read:
  """Draws the tasks of a cell, lets their learners send, and reads their images.

  Raises:
    Diverged: if training, an adaptation or a gradient is not finite.
  """
  splits = models.splits_of(cell, sweep.data_dir)
  states = models.trained_states(
    cell.model, [cell.epoch], splits=splits, store_dir=sweep.store_dir
  )
  params = dict(states)[cell.epoch].params
  gradients, truth = _observe(cell, splits, params)
  count, shape = truth.shape[1], truth.shape[2:]
  recover = jax.jit(
    functools.partial(recover_images, shape=shape, count=count, samples=_SAMPLES.value)
  )
  compare, key = jax.jit(_compare), stream_key(cell.seed, Stream.RECOVERY)
  errors, similarities, first, seconds = [], [], None, []
  for at in bar(range(cell.trials), unit='task', desc=f'{cell.dataset} {count} images'):
    gradient, start = jax.tree.map(lambda leaf, at=at: leaf[at], gradients), time.perf_counter()
    found = jax.block_until_ready(recover(jax.random.fold_in(key, at), params, gradient)).images
    seconds.append(time.perf_counter() - start)
    first = np.asarray(found) if first is None else first
    error, similarity = compare(found, truth[at])
    errors.append(np.asarray(error))
    similarities.append(np.asarray(similarity))
  assert first is not None
  return Read(
    np.stack(errors), np.stack(similarities), float(np.median(seconds)), truth[0], first
  )


def _observe(cell: Cell, splits: Any, params: Params) -> tuple[Params, np.ndarray]:
  """What each task's learner sends, and the images behind it [tasks, images, ...]."""
  shared, _ = stages.share(cell, params, splits.references)
  key = stream_key(cell.seed, Stream.REPORTED)
  rules = {
    name: getattr(cell, name) for name in ('ways', 'shots', 'target', 'learners', 'non_members')
  }
  pool = jax.device_put(getattr(splits, cell.pool))
  keys, trials = stages.draw(key, pool, jnp.arange(cell.trials), **rules)
  mesh = jax.make_mesh((1,), ('trials',), axis_types=(AxisType.Auto,))
  chunk = good_chunk(cell)
  seen, health = stages.observe(keys, trials, shared, chunk=chunk, mesh=mesh)
  playing.check_health(jax.device_get(health), cell.trials)
  sets = (trials.tasks.support.images, trials.tasks.query.images)
  images = np.concatenate([np.asarray(part)[:, 0] for part in sets], axis=1)
  return jax.tree.map(lambda leaf: leaf[:, 0], seen.gradient), images


def _compare(found: jax.Array, truth: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The farthest pixel and the SSIM of what is nearest to each true image."""
  found = jnp.nan_to_num(found)
  farthest = jnp.max(jnp.abs(found[:, None] - truth[None]), axis=(2, 3, 4))
  nearest = jnp.clip(found[farthest.argmin(axis=0)], 0, 1)
  return farthest.min(axis=0), ssim(nearest, truth)


def _row(cell: Cell, read: Read) -> dict[str, Any]:
  """A line of the table: how many tasks were read whole, with a 95 % interval."""
  same = read.errors < HALF_A_LEVEL
  whole = proportion(int(same.all(axis=1).sum()), len(same))
  return {name: getattr(cell, name) for name in (*COLUMNS, *REST) if hasattr(cell, name)} | {
    'images': same.shape[1],
    'tasks': len(same),
    'whole_tasks': whole.value if whole else None,
    'whole_low': whole.low if whole else None,
    'whole_high': whole.high if whole else None,
    'same_images': float(same.mean()),
    'ssim': float(read.similarity.mean()),
    'median_error': float(np.median(read.errors)),
    'samples': _SAMPLES.value,
    'seconds_per_task': read.seconds,
    'git_revision': provenance.git_revision(),
  }


def _draw(read: Read) -> Any:
  """The first task's images above what was read."""
  farthest = np.abs(read.found[:, None] - read.truth[None]).max(axis=(2, 3, 4))
  return figures.gallery(
    {'the two sets': read.truth, 'read off the gradient': read.found[farthest.argmin(axis=0)]}
  )


if __name__ == '__main__':
  cli.cache_compilations()
  cli.run(main)
