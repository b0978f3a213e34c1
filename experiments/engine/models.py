"""The model of a cell: its data, its network and, from checkpoints, its trained parameters."""

import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.stats
from absl import logging

from experiments.config.cell import Cell, Model
from experiments.config.streams import Stream, stream_key
from experiments.process import distributed, preemption, provenance
from experiments.store.cells import configuration_hash
from mamljax import atomic, checkpoints, training
from mamljax.data import Dataset, Splits, load_dataset, split_dataset
from mamljax.data.loading import file_state
from mamljax.defences import make_defence
from mamljax.errors import Diverged, InputError
from mamljax.maml import InnerLoop
from mamljax.networks import NETWORKS, CrossEntropy, init_params, make_network
from mamljax.numerics import is_finite

META_TEST_TASKS = 400

_train = jax.jit(training.train, static_argnames='rounds')
_meta_test = jax.jit(training.meta_test, static_argnames=('tasks', 'batch'))


def load_data(model: Model, data_dir: Path | None) -> Dataset:
  """The data set of a model, read once; a file of the user's again when it has changed."""
  size, colours = model.image_size or None, model.channels or None
  return _load(model.dataset, size, colours, data_dir, file_state(model.dataset))


@functools.lru_cache(maxsize=2)
def _load(
  dataset: str,
  image_size: int | None,
  channels: int | None,
  data_dir: Path | None,
  state: tuple[int, ...],
) -> Dataset:
  del state
  return load_dataset(dataset, data_dir=data_dir, image_size=image_size, channels=channels)


_split = functools.lru_cache(maxsize=4)(split_dataset)


def with_keys(cells: Iterable[Cell], data_dir: Path | None) -> Iterator[Cell]:
  """The cells with the keys of what they are computed from: the content of data, and the code.

  Raises:
    InputError: if the data are not there, or not valid.
  """
  code, known = provenance.code_key(), dict[Any, str]()
  for cell in cells:
    source = cell.dataset, cell.image_size, cell.channels
    known[source] = known.get(source) or load_data(cell, data_dir).fingerprint
    yield dataclasses.replace(cell, code=code, fingerprint=known[source])


def splits_of(model: Model, data_dir: Path | None) -> Splits:
  """The pools of a model's data set.

  Raises:
    InputError: if the data are not there, are others than those that the model is about, or
      too few for its tasks.
  """
  data = load_data(model, data_dir)
  if model.fingerprint not in ('', data.fingerprint):
    raise InputError(f'{model.dataset} has changed since the sweep began: begin it again')
  splits = _split(data, seed=model.seed)
  _check_enough(model, data, splits)
  return splits


def _check_enough(model: Model, data: Dataset, splits: Splits) -> None:
  """Refuses tasks with more classes, more shots or smaller images than the data allow."""
  check_pixels(model, splits, NETWORKS[model.network].smallest_image, model.network)
  _check_images(model, data, splits)


def check_pixels(model: Model, splits: Splits, least: int, needed_for: str) -> None:
  """Refuses images with a side of less than `least` pixels."""
  height, width = splits.victims.images.shape[1:3]
  if min(height, width) < least:
    raise InputError(
      f'{model.dataset} has images of {height} x {width} pixels, and at least '
      f'{least} x {least} are needed for {needed_for}: give --image_size={least}'
    )


def _check_images(model: Model, data: Dataset, splits: Splits) -> None:
  """Refuses tasks, or games of many tasks, that a pool has too few images for."""
  left_out = data.left_out()
  if model.ways > data.num_classes:
    raise InputError(
      f'{model.ways} ways, but {model.dataset} has only {data.num_classes} classes{left_out}'
    )
  learners = getattr(model, 'learners', 1)
  counts = np.array([pool.counts for pool in splits])
  pool, label = np.unravel_index(counts.argmin(), counts.shape)
  most = (int(counts.min()) - 1) // (2 * learners)
  if model.shots > most:
    raise InputError(
      f'{model.shots} shots, but {model.dataset} allows at most {max(most, 0)}: a trial takes '
      f'2 x shots x learners + 1 images of a class from one of its four pools, and class '
      f'{data.classes[label]} has {counts.min()} of its {counts[:, label].sum()} images in the '
      f'{Splits._fields[pool]} pool{left_out}'
    )


def describe_training(model: Model) -> training.Training:
  """The meta-training of a model."""
  network = make_network(model.network, ways=model.ways, **model.network_options())
  return training.Training(
    loss_fn=CrossEntropy(network),
    inner=InnerLoop(model.inner_steps, model.inner_learning_rate, model.order),
    defence=make_defence(
      model.defence,
      scale=model.noise_scale,
      mean=model.noise_mean,
      clip_images=model.clip_noisy_images,
    ),
    learning_rate=model.outer_learning_rate,
    ways=model.ways,
    shots=model.shots,
    tasks_per_round=model.tasks_per_round,
  )


def initial_state(model: Model, splits: Splits) -> training.State:
  """The untrained state of a model; it depends on the model and its seed alone."""
  key = stream_key(model.seed, Stream.INITIALIZATION)
  network = describe_training(model).loss_fn.network
  height, width, channels = splits.training.images.shape[1:]
  return training.init(init_params(key, network, (height, width, channels)))


def trained_states(
  model: Model,
  epochs: Iterable[int],
  *,
  splits: Splits,
  store_dir: Path,
  save_seconds: float = 30.0,
) -> Iterator[tuple[int, training.State]]:
  """The states of a model after each of `epochs`, in rising order.

  Training goes on from the latest checkpoint in STORE/checkpoints/<key>/ that is not past the
  epoch, and leaves epoch_<n>.msgpack there, also of an epoch between if `save_seconds` have
  passed. The key is that of the model, its data, its code and the kind of device. A damaged
  checkpoint is named in a warning, set aside and trained again.

  Raises:
    Diverged: if a state is not finite; it is not kept, nor taken up again.
    Interrupted: if the process was asked to stop; the epoch is kept.
  """
  described, pool = describe_training(model), jax.device_put(splits.training)
  key = stream_key(model.seed, Stream.TRAINING)
  folder = store_dir / 'checkpoints' / _key(model)
  state = initial_state(model, splits)
  for epoch in sorted(set(epochs)):
    state = distributed.same(_latest(folder, epoch, state))
    first, saved = int(state.round) // model.rounds_per_epoch + 1, time.monotonic()
    for at in range(first, epoch + 1):
      state, norms = _train(key, state, pool, described, rounds=model.rounds_per_epoch)
      _check_finite(model, at, state, norms)
      due = at == epoch or time.monotonic() - saved > save_seconds
      saved = time.monotonic() if due else saved
      _keep(folder / f'epoch_{at}.msgpack', state, due=due)
    yield epoch, state


def _key(model: Model) -> str:
  """The name of a trained model: other code, data or rounding would train another one."""
  told = {'code': provenance.code_key(), 'device_kind': jax.devices()[0].device_kind}
  return configuration_hash(dataclasses.asdict(model) | told)


def _check_finite(model: Model, epoch: int, state: training.State, norms: jax.Array) -> None:
  """Refuses an epoch of training in which something diverged."""
  lost = np.flatnonzero(~np.isfinite(np.asarray(norms)))
  if lost.size or not is_finite(state):
    before = (epoch - 1) * model.rounds_per_epoch
    rounds = before + (int(lost[0]) + 1 if lost.size else model.rounds_per_epoch)
    raise Diverged(
      f'training diverged in epoch {epoch}, after {rounds} rounds: a mean gradient, an '
      f'adaptation or the parameters are not finite at an outer rate of '
      f'{model.outer_learning_rate:g} and an inner rate of {model.inner_learning_rate:g}'
    )


def _keep(path: Path, state: training.State, *, due: bool) -> None:
  """Saves a state if it is due, or the process is to stop; then it stops."""
  stop = distributed.asked_to_stop()
  if (due or stop) and distributed.is_first():
    checkpoints.save(path, state)
  if stop:
    raise preemption.Interrupted


def _latest(folder: Path, epoch: int, state: training.State) -> training.State:
  """The latest checkpoint that is whole and not past `epoch`; `state` if there is none."""
  paths = {path.stem.removeprefix('epoch_'): path for path in folder.glob('epoch_*.msgpack')}
  kept = {int(number): path for number, path in paths.items() if number.isdecimal()}
  usable = (_read(kept[at], state) for at in sorted(kept, reverse=True) if at <= epoch)
  found = next((candidate for candidate in usable if candidate is not None), state)
  return max(found, state, key=lambda candidate: int(candidate.round))


def _read(path: Path, like: training.State) -> training.State | None:
  """The state in a checkpoint; None if it was damaged, or kept though training diverged."""
  try:
    state = checkpoints.load(path, like)
    return state if is_finite(state) else None
  except atomic.DamagedFile as error:
    aside = atomic.set_aside(path)
    logging.warning('%s: set aside as %s, and trained again', error, aside.name)
    return None


class Learning(NamedTuple):
  """How well a model learns new tasks, with a 95 % interval over tasks (Student's t)."""

  epoch: int
  accuracy: float
  low: float
  high: float
  tasks: int


def measure_learning(
  model: Model, epoch: int, state: training.State, splits: Splits
) -> Learning:
  """The query accuracy after adaptation, on images held out from training.

  Raises:
    Diverged: if an adaptation or what the network says is not finite.
  """
  tested = _test(model, state, splits)
  lost = np.count_nonzero(np.isnan(tested))
  if lost:
    raise Diverged(
      f'learning after {epoch} epochs has no accuracy: the inner loop diverged in {lost} of '
      f'{len(tested)} tasks'
    )
  mean, error = tested.mean(), scipy.stats.sem(tested)
  half = error * scipy.stats.t.ppf(0.975, len(tested) - 1)
  high = min(mean + half, 1)
  return Learning(epoch, float(mean), float(mean - half), float(high), len(tested))


def _test(model: Model, state: training.State, splits: Splits) -> np.ndarray:
  """The accuracy of each of `META_TEST_TASKS` new tasks, [tasks]."""
  key = stream_key(model.seed, Stream.META_TEST)
  pool = jax.device_put(splits.victims)
  described = describe_training(model)
  tested = _meta_test(key, state.params, pool, described, tasks=META_TEST_TASKS)
  return np.asarray(tested, np.float64)
