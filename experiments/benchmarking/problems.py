"""The draws of mamljax for a benchmark as plain arrays, so that peers do the same work."""

import io
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from mamljax import atomic
from mamljax.audit.blocks import Ready
from mamljax.tasks import sample_task
from mamljax.types import Params, Pool


def write_attack(path: Path, cell: Cell, ready: Ready) -> None:
  """Writes the meta-knowledge, and each candidate's gradient, query set and starting images.

  The candidate is in the first slot of its class. The other slots hold noise with the
  distribution of the attack's, but another draw.
  """
  _, trials, observed, setting = ready.arguments
  tasks, candidates = jax.device_get((trials.tasks, trials.candidates))
  attacked = getattr(tasks, cell.game.target)
  labels = attacked.labels[0, 0]
  noise = np.random.default_rng(cell.seed).normal(
    cell.attack.start_mean, cell.attack.start_scale, attacked.images[:, 0].shape
  )
  start = np.clip(noise, 0, 1).astype(np.float32)
  for index, label in enumerate(candidates.label[:, 0]):
    start[index, np.argmax(labels == label)] = candidates.image[index, 0]
  received = layers_of(jax.tree.map(lambda leaf: leaf[:, 0], observed.gradient))
  _write(
    path,
    setting.knowledge.params,
    labels=labels,
    start=start,
    query=tasks.query.images[:, 0],
    **{f'received_{i}': layer for i, layer in enumerate(received)},
  )


def write_training(path: Path, cell: Cell, params: Params, pool: Pool) -> None:
  """Writes the meta-knowledge and the tasks of a round of training."""
  first = jax.random.fold_in(stream_key(cell.seed, Stream.TRAINING), 0)
  keys = jax.random.split(first, cell.model.tasks_per_round)
  pool = jax.device_put(pool)
  draw = jax.vmap(
    lambda key: sample_task(key, pool, ways=cell.task.ways, shots=cell.task.shots)
  )
  tasks = jax.device_get(draw(keys))
  sets = {'support': tasks.support.images, 'query': tasks.query.images}
  _write(path, params, labels=tasks.query.labels[0], **sets)


def layers_of(params: Params) -> list[np.ndarray]:
  """Kernel and bias of each layer in turn, from parameters named by flax."""
  layers = jax.device_get([params[name] for name in sorted(params)])
  return [np.asarray(layer[part]) for layer in layers for part in ('kernel', 'bias')]


def _write(path: Path, params: Params, **arrays: Any) -> None:
  """Writes the arrays as a file, whole or not at all."""
  layers = layers_of(params)
  named = {f'layer_{i}': layer for i, layer in enumerate(layers)}
  data = io.BytesIO()
  np.savez(data, layers=np.array(len(layers)), **named, **arrays)
  atomic.write_bytes(path, data.getvalue())
