"""One cell: draw its trials, let the learners send, attack, decide, count.

Trials are computed in blocks: a block is a fixed number of chunks for each device, a chunk
is `cell.chunk` trials under one `vmap`. The shapes of the arithmetic, and with them every
bit of a score, depend on the cell alone, not on how many devices share the blocks out.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments import models, results
from experiments.compilation import compile_once
from experiments.examples import Examples, make_examples
from experiments.grid import Cell
from mamljax import training
from mamljax.attacks import ATTACKS, Knowledge, reconstruction
from mamljax.audit.decision import choose_threshold
from mamljax.audit.game import Trial, draw_trial, observe
from mamljax.audit.metrics import evaluate
from mamljax.data import Splits
from mamljax.defences import Defence
from mamljax.types import Params, Pool

# Streams of randomness beside those of the model (see experiments.models).
PREPARE, CALIBRATION, REPORTED = 3, 4, 5
EXAMPLES = 8  # trials that are kept as pictures
CHUNKS_PER_BLOCK = 4  # per device: long enough to hide dispatch, short enough to show progress


class Shared(NamedTuple):
  """What the trials of a cell share."""

  knowledge: Knowledge
  prepared: Any
  defence: Defence
  options: Any


class Scored(NamedTuple):
  """A phase of a cell: its trials, pictures of the first, and what it took."""

  trials: results.Trials
  examples: Examples | None
  seconds: float
  compile_seconds: float


def run_cell(
  cell: Cell, *, data_dir: Path | None, output_dir: Path, advance: Callable[[int], Any]
) -> tuple[results.CellResult, Examples | None]:
  """Computes a cell.

  Args:
    cell: what to compute.
    data_dir: where prepared data sets are.
    output_dir: where checkpoints are kept.
    advance: called with the number of trials done since it was last called.

  Returns:
    The result, on trials that are apart from those that chose the threshold, and the
    first reconstructions, if the attack makes any.
  """
  splits = models.splits_of(cell, data_dir)
  state = _trained(cell, splits, output_dir)
  calibrate, report = (
    _play(cell, state.params, pool, stream, count, advance)
    for pool, stream, count in (
      (splits.calibration, CALIBRATION, cell.calibration_trials),
      (getattr(splits, cell.pool), REPORTED, cell.trials),
    )
  )
  threshold = choose_threshold(calibrate.trials.scores, calibrate.trials.members)
  played = cell.trials + cell.calibration_trials
  result = results.CellResult(
    configuration=dataclasses.asdict(cell),
    seed=cell.seed,
    versions=results.versions(),
    git_revision=results.git_revision(),
    device_kind=jax.devices()[0].device_kind,
    timings={
      'seconds_per_trial': (calibrate.seconds + report.seconds) / played,
      'compile_seconds': calibrate.compile_seconds + report.compile_seconds,
      'devices': jax.device_count(),
    },
    metrics=evaluate(
      report.trials.scores,
      report.trials.members,
      threshold=threshold,
      tasks=report.trials.tasks,
      seed=cell.seed,
    ),
    trials=report.trials,
    calibration=calibrate.trials,
    extra=_learning(cell, state, splits),
  )
  return result, report.examples


def _trained(cell: Cell, splits: Splits, output_dir: Path) -> training.State:
  """The state of the cell's model after its epochs."""
  trained = models.trained_states(
    cell.model, [cell.epoch], splits=splits, output_dir=output_dir
  )
  return next(state for _, state in trained)


def _play(
  cell: Cell,
  params: Params,
  pool: Pool,
  stream: int,
  count: int,
  advance: Callable[[int], Any],
) -> Scored:
  """Plays trials 0..count-1, every other one with a member, each on a task of its own."""
  mesh = jax.make_mesh((jax.device_count(),), ('trials',), axis_types=(AxisType.Auto,))
  everywhere, split = (NamedSharding(mesh, spec) for spec in (P(), P('trials')))
  key = jax.random.fold_in(jax.random.key(cell.seed), stream)
  pool, shared = jax.device_put((pool, _share(cell, params)), everywhere)
  static = {'attack': cell.attack, 'chunk': cell.chunk, 'mesh': mesh}
  block = cell.chunk * CHUNKS_PER_BLOCK * jax.device_count()
  scores, examples, seconds, compiling = [], None, 0.0, 0.0
  for first in range(0, count, block):
    indices = jnp.arange(first, first + block)
    shape = {'ways': cell.ways, 'shots': cell.shots, 'target': cell.target}
    drawn = jax.device_put(_draw(key, pool, indices, **shape), split)
    attack, compile_seconds = compile_once(_attack, *drawn, shared, **static)
    start = time.perf_counter()
    said, pictures = jax.block_until_ready(attack(*drawn, shared))
    seconds += time.perf_counter() - start
    compiling += compile_seconds
    scores.append(np.asarray(said))
    examples = examples or _examples(drawn[1], pictures)
    advance(min(block, count - first))
  indices = np.arange(count)
  trials = results.Trials(
    scores=np.concatenate(scores)[:count].tolist(),
    members=_is_member(indices).tolist(),
    tasks=indices.tolist(),
  )
  # The last block is full, whatever of it is needed.
  return Scored(trials, examples, seconds * count / (len(scores) * block), compiling)


def _examples(trials: Trial, pictures: jax.Array | None) -> Examples | None:
  """The first trials in pictures."""
  if pictures is None:
    return None
  shown = (trials.candidate.image, pictures)
  return make_examples(*(np.asarray(images[:EXAMPLES]) for images in shown))


def _is_member(indices):
  """Members and non-members take turns, as in the paper half of the trials are of each."""
  return indices % 2 == 0


@functools.partial(jax.jit, static_argnames=('ways', 'shots', 'target'))
def _draw(
  key: jax.Array, pool: Pool, indices: jax.Array, *, ways: int, shots: int, target: str
) -> tuple[jax.Array, Trial]:
  """The keys and the draws of some trials; trial t depends on `fold_in(key, t)` alone."""

  def draw(index: jax.Array) -> tuple[jax.Array, Trial]:
    key_draw, key_play = jax.random.split(jax.random.fold_in(key, index))
    member = _is_member(index)
    return key_play, draw_trial(key_draw, pool, member, ways=ways, shots=shots, target=target)

  return jax.vmap(draw)(indices)


def _share(cell: Cell, params: Params) -> Shared:
  """What the trials of a cell share."""
  described = models.describe_training(cell)
  options = reconstruction.Options(
    target=cell.target,
    iterations=cell.iterations,
    learning_rate=cell.attack_learning_rate,
    tv_weight=cell.tv_weight,
    start_mean=cell.start_mean,
    start_scale=cell.start_scale,
  )
  knowledge = Knowledge(described.loss_fn, params, described.inner)
  key = jax.random.fold_in(jax.random.key(cell.seed), PREPARE)
  prepared = ATTACKS[cell.attack].prepare(key, knowledge)
  return Shared(knowledge, prepared, described.defence, options)


@functools.partial(jax.jit, static_argnames=('attack', 'chunk', 'mesh'))
def _attack(
  keys: jax.Array,
  trials: Trial,
  shared: Shared,
  *,
  attack: str,
  chunk: int,
  mesh: jax.sharding.Mesh,
) -> tuple[jax.Array, jax.Array | None]:
  """The scores of some trials, and what the attack made of their candidates, if images.

  Shared out over the devices of `mesh`.
  """
  method = ATTACKS[attack]

  def play(keyed: tuple[jax.Array, Trial]):
    key, trial = keyed
    key_send, key_score = jax.random.split(key)
    observation = observe(
      key_send,
      shared.knowledge.loss_fn,
      shared.knowledge.params,
      trial.task,
      shared.knowledge.inner,
      defence=shared.defence,
      requires=method.REQUIRES[shared.options.target],
    )
    score, info = method.score(
      key_score, shared.prepared, observation, trial.candidate, options=shared.options
    )
    return score, getattr(info, 'reconstruction', None)

  def play_chunks(keys: jax.Array, trials: Trial):
    return jax.lax.map(play, (keys, trials), batch_size=chunk)

  split = P('trials')
  shared_out = jax.shard_map(
    play_chunks, mesh=mesh, in_specs=(split, split), out_specs=split, check_vma=False
  )
  return shared_out(keys, trials)


def _learning(cell: Cell, state: training.State, splits: Splits) -> dict[str, Any]:
  """How well the attacked model had learned, where it was trained."""
  if not cell.epoch:
    return {}
  tested = models.learning_accuracy(cell.model, state, splits)
  return {'learning_accuracy': float(tested.mean()), 'learning_tasks': len(tested)}
