"""Recovery of images from one gradient of each task, with their errors."""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.config.sweep import Sweep
from experiments.config.workload import good_chunk
from experiments.engine import memory, models
from experiments.engine.setting import make_setting
from experiments.process.progress_bars import bar
from mamljax.audit import trials
from mamljax.audit.blocks import check_health
from mamljax.audit.placement import trials_mesh
from mamljax.data import Splits
from mamljax.defences import learners_of
from mamljax.images import SSIM_WINDOW, ssim
from mamljax.recovery import recover_images
from mamljax.types import Params


class Recovery(NamedTuple):
  """The images recovered from the gradients of a cell, with their errors.

  Attributes:
    errors: for each true image, the largest error of a pixel in the nearest recovered image,
      [tasks, images].
    similarity: SSIM of that image, [tasks, images].
    seconds: median time of a task, without compilation.
    truth: true images of the first task.
    recovered: recovered images of the first task.
  """

  errors: np.ndarray
  similarity: np.ndarray
  seconds: float
  truth: np.ndarray
  recovered: np.ndarray


def check(cell: Cell, splits: Splits, *, samples: int) -> None:
  """Raises, before anything is computed, if no images can be recovered from a network."""
  models.check_pixels(cell, splits, SSIM_WINDOW, 'the SSIM of what is read')
  numbers = cell.game.trials * memory.sent_numbers(cell, splits)
  memory.require(
    f'keeping {cell.game.trials:,} gradients of {cell.model.network_name}', numbers
  )
  params = jax.eval_shape(lambda: models.initial_state(cell.recipe, splits).params)
  height, width, channels = splits.victims.images.shape[1:]
  recover = functools.partial(
    recover_images,
    loss_fn=models.describe_training(cell).loss_fn,
    shape=(height, width, channels),
    count=2 * cell.task.ways * cell.task.shots,
    samples=samples,
  )
  key = jax.random.key(0)
  jax.eval_shape(lambda params: recover(key, params=params, gradient=params), params)


def read_images(cell: Cell, sweep: Sweep, *, samples: int) -> Recovery:
  """Recovers the images of a cell's tasks from the gradients that their learners send.

  Raises:
    Diverged: if training, an adaptation or a gradient is not finite.
  """
  splits = models.splits_of(cell, sweep.data_dir)
  states = models.trained_states(
    cell.recipe, [cell.game.epoch], splits=splits, store_dir=sweep.store_dir
  )
  params = dict(states)[cell.game.epoch].params
  gradients, truth = _observe(cell, splits, params)
  count, shape = truth.shape[1], truth.shape[2:]
  recover = jax.jit(
    functools.partial(
      recover_images,
      loss_fn=models.describe_training(cell).loss_fn,
      params=params,
      shape=shape,
      count=count,
      samples=samples,
    )
  )
  compare, key = jax.jit(_compare), stream_key(cell.seed, Stream.RECOVERY)
  errors, similarities, first, seconds = [], [], None, []
  label = f'{cell.data.dataset} {count} images'
  for at in bar(range(cell.game.trials), unit='task', desc=label):
    gradient, start = jax.tree.map(lambda leaf, at=at: leaf[at], gradients), time.perf_counter()
    result = jax.block_until_ready(recover(jax.random.fold_in(key, at), gradient=gradient))
    seconds.append(time.perf_counter() - start)
    first = np.asarray(result.images) if first is None else first
    error, similarity = compare(result.images, truth[at])
    errors.append(np.asarray(error))
    similarities.append(np.asarray(similarity))
  assert first is not None
  return Recovery(
    np.stack(errors), np.stack(similarities), float(np.median(seconds)), truth[0], first
  )


def _observe(cell: Cell, splits: Any, params: Params) -> tuple[Params, np.ndarray]:
  """The gradient of each task's learner, and the true images, [tasks, images, ...]."""
  setting, _ = make_setting(cell, params, splits.references)
  setting = dataclasses.replace(setting, chunk=good_chunk(cell))
  key = stream_key(cell.seed, Stream.REPORTED)
  pool = jax.device_put(getattr(splits, cell.game.pool))
  indices = jnp.arange(cell.game.trials)
  others = learners_of(setting.defence.outgoing) - 1
  keys, drawn = trials.draw(key, pool, indices, rules=setting.rules, others=others)
  observed, health = trials.observe(keys, drawn, setting, mesh=trials_mesh(devices=1))
  check_health(jax.device_get(health), cell.game.trials)
  sets = (drawn.tasks.support.images, drawn.tasks.query.images)
  images = np.concatenate([np.asarray(part)[:, 0] for part in sets], axis=1)
  return jax.tree.map(lambda leaf: leaf[:, 0], observed.gradient), images


def _compare(images: jax.Array, truth: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The largest error and the SSIM of the recovered image nearest to each true one."""
  images = jnp.nan_to_num(images)
  farthest = jnp.max(jnp.abs(images[:, None] - truth[None]), axis=(2, 3, 4))
  nearest = jnp.clip(images[farthest.argmin(axis=0)], 0, 1)
  return farthest.min(axis=0), ssim(nearest, truth)
