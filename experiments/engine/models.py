"""The model of a cell: its data, its network and, from checkpoints, its trained parameters."""

import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy
from absl import logging

from experiments.config.cell import Cell, Recipe
from experiments.config.columns import configuration
from experiments.config.streams import Stream, stream_key
from experiments.engine import protocols
from experiments.process import distributed, preemption, provenance
from experiments.store.cells import configuration_hash
from mamljax import atomic, checkpoints, training
from mamljax.data import Dataset, Splits, load_dataset, split_dataset
from mamljax.data.loading import file_state
from mamljax.defences import make_defence
from mamljax.errors import Diverged, InputError
from mamljax.networks import NETWORKS, CrossEntropy, Network, init_params, make_network
from mamljax.numerics import all_finite
from mamljax.types import Params

META_TEST_TASKS = 400

_begin = jax.jit(training.init)  # else a small program fills each shape with zeros
_train = jax.jit(training.train, static_argnames='rounds')
_meta_test = jax.jit(training.meta_test, static_argnames=('tasks', 'batch'))


def load_data(recipe: Recipe, data_dir: Path | None) -> Dataset:
  """The data set of a model, read once; a file of the user's again when it has changed."""
  size, colours = recipe.data.image_size or None, recipe.data.channels or None
  return _load(recipe.data.dataset, size, colours, data_dir, file_state(recipe.data.dataset))


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
  """The cells with the keys of their sources: the content of the data, and the code.

  Raises:
    InputError: if the data are not there, or not valid.
  """
  code, known = provenance.code_key(), dict[Any, str]()
  for cell in cells:
    source = cell.data.dataset, cell.data.image_size, cell.data.channels
    known[source] = known.get(source) or load_data(cell, data_dir).fingerprint
    yield dataclasses.replace(
      cell,
      data=dataclasses.replace(cell.data, fingerprint=known[source]),
      execution=dataclasses.replace(cell.execution, code=code),
    )


def learners_of(cell: Cell) -> int:
  """The number of task-learners whose tasks a trial draws."""
  return cell.game.learners * cell.defence.learners


def splits_of(recipe: Recipe, data_dir: Path | None, *, learners: int = 1) -> Splits:
  """The pools of a model's data set.

  Args:
    recipe: the recipe of the model.
    data_dir: where prepared data sets are.
    learners: task-learners of a trial.

  Raises:
    InputError: if the data are not there, are others than those that the model is about, or
      too few for its tasks.
  """
  data = load_data(recipe, data_dir)
  if recipe.data.fingerprint not in ('', data.fingerprint):
    raise InputError(f'{recipe.data.dataset} has changed since the sweep began: begin it again')
  splits = _split(data, seed=recipe.seed)
  _check_enough(recipe, data, splits, learners)
  return splits


def _check_enough(recipe: Recipe, data: Dataset, splits: Splits, learners: int) -> None:
  """Refuses tasks with more classes, more shots or smaller images than the data allow."""
  name = recipe.model.network_name
  check_pixels(recipe, splits, NETWORKS[name].smallest_image, f'the network {name}')
  _check_images(recipe, data, splits, learners)


def check_pixels(recipe: Recipe, splits: Splits, least: int, needed_for: str) -> None:
  """Refuses images with a side of less than `least` pixels."""
  height, width = splits.victims.images.shape[1:3]
  if min(height, width) < least:
    raise InputError(
      f'{recipe.data.dataset} has images of {height} x {width} pixels, and at least '
      f'{least} x {least} are needed for {needed_for}: give --image_size={least}'
    )


def _check_images(recipe: Recipe, data: Dataset, splits: Splits, learners: int) -> None:
  """Refuses tasks, or games of many tasks, that a pool has too few images for."""
  left_out = data.left_out()
  if recipe.task.ways > data.num_classes:
    raise InputError(
      f'{recipe.task.ways} ways, but {recipe.data.dataset} has only {data.num_classes} '
      f'classes{left_out}'
    )
  counts = np.array([pool.counts for pool in splits])
  pool, label = np.unravel_index(counts.argmin(), counts.shape)
  most = (int(counts.min()) - 1) // (2 * learners)
  if recipe.task.shots > most:
    raise InputError(
      f'{recipe.task.shots} shots, but {recipe.data.dataset} allows at most {max(most, 0)}: a '
      f'trial takes 2 x shots x learners + 1 images of a class from one of its four pools, '
      f'and class {data.classes[label]} has {counts.min()} of its {counts[:, label].sum()} '
      f'images in the {Splits._fields[pool]} pool{left_out}'
    )


def describe_training(recipe: Recipe, *, params: Params | None = None) -> training.Training:
  """The meta-training of a model, at some parameters if its learners depend on them."""
  return training.Training(
    loss_fn=CrossEntropy(describe_network(recipe)),
    inner=protocols.declare(recipe, params=params),
    defence=make_defence(
      recipe.defence.points,
      scale=recipe.defence.scale,
      mean=recipe.defence.mean,
      clip_images=recipe.defence.clip_images,
      clip=recipe.defence.clip,
      noise_multiplier=recipe.defence.noise_multiplier,
    ),
    learning_rate=recipe.model.outer_learning_rate,
    ways=recipe.task.ways,
    shots=recipe.task.shots,
    tasks_per_round=recipe.model.tasks_per_round,
  )


def describe_network(recipe: Recipe) -> Network:
  """The network of a model."""
  model = recipe.model
  return make_network(model.network_name, ways=recipe.task.ways, **model.network_options)


def initial_state(recipe: Recipe, splits: Splits) -> training.State:
  """The untrained state of a model; it depends on the model and its seed alone."""
  key = stream_key(recipe.seed, Stream.INITIALIZATION)
  network = describe_network(recipe)
  height, width, channels = splits.training.images.shape[1:]
  return _begin(init_params(key, network, (height, width, channels)))


def trained_states(
  recipe: Recipe,
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
  described, pool = describe_training(recipe), jax.device_put(splits.training)
  key = stream_key(recipe.seed, Stream.TRAINING)
  folder = store_dir / 'checkpoints' / _key(recipe)
  state = initial_state(recipe, splits)
  for epoch in sorted(set(epochs)):
    state = distributed.same(_latest(folder, epoch, state))
    first, saved = int(state.round) // recipe.model.rounds_per_epoch + 1, time.monotonic()
    for at in range(first, epoch + 1):
      state, norms = _train(key, state, pool, described, rounds=recipe.model.rounds_per_epoch)
      _check_finite(recipe, at, state, norms)
      due = at == epoch or time.monotonic() - saved > save_seconds
      saved = time.monotonic() if due else saved
      _keep(folder / f'epoch_{at}.msgpack', state, due=due)
    yield epoch, state


def _key(recipe: Recipe) -> str:
  """The name of a trained model: other code, data or rounding would train another one."""
  told = {'code': provenance.code_key(), 'device_kind': jax.devices()[0].device_kind}
  return configuration_hash(configuration(recipe) | told)


def _check_finite(recipe: Recipe, epoch: int, state: training.State, norms: jax.Array) -> None:
  """Refuses an epoch of training in which something diverged."""
  lost = np.flatnonzero(~np.isfinite(np.asarray(norms)))
  if lost.size or not all_finite(state):
    before = (epoch - 1) * recipe.model.rounds_per_epoch
    rounds = before + (int(lost[0]) + 1 if lost.size else recipe.model.rounds_per_epoch)
    raise Diverged(
      f'training diverged in epoch {epoch}, after {rounds} rounds: a mean gradient, an '
      f'adaptation or the parameters are not finite at an outer rate of '
      f'{recipe.model.outer_learning_rate:g} and an inner rate of '
      f'{recipe.inner.learning_rate:g}'
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
    return state if all_finite(state) else None
  except atomic.DamagedFile as error:
    aside = atomic.set_aside(path)
    logging.warning('%s: set aside as %s, and trained again', error, aside.name)
    return None


class Learning(NamedTuple):
  """Query accuracy of a model on new tasks, with a 95 % interval over tasks (Student's t)."""

  epoch: int
  accuracy: float
  low: float
  high: float
  tasks: int


def measure_learning(
  recipe: Recipe, epoch: int, state: training.State, splits: Splits
) -> Learning:
  """The query accuracy after adaptation, on images held out from training.

  Raises:
    Diverged: if an adaptation or what the network says is not finite.
  """
  tested = _test(recipe, state, splits)
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


def _test(recipe: Recipe, state: training.State, splits: Splits) -> np.ndarray:
  """The accuracy of each of `META_TEST_TASKS` new tasks, [tasks]."""
  key = stream_key(recipe.seed, Stream.META_TEST)
  pool = jax.device_put(splits.victims)
  described = describe_training(recipe)
  tested = _meta_test(key, state.params, pool, described, tasks=META_TEST_TASKS)
  return np.asarray(tested, np.float64)
