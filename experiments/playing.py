"""Playing the trials of a cell: draw them, let the learners send, attack.

Trials are computed in blocks: a block is a fixed number of chunks for each device, a chunk
is `cell.chunk` trials under one `vmap`. The shapes of the arithmetic, and with them every
bit of a score, depend on the cell alone, not on how many devices share the blocks out.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments import models, results
from experiments.compilation import compile_once
from experiments.examples import Examples, make_examples
from experiments.grid import Cell, describe
from mamljax.attacks import ATTACKS, Knowledge, reconstruction
from mamljax.audit.game import Trial, draw_trial, observe
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
  """A phase of a cell: its trials, pictures of the first, and what it took.

  `seconds` is computation only; that of trials computed to fill the last block is left out.
  """

  trials: results.Trials
  examples: Examples | None
  seconds: float
  compile_seconds: float


class Block(NamedTuple):
  """Trials computed in one call: scores [n], candidates and what the attack made of them."""

  scores: np.ndarray
  candidates: np.ndarray
  pictures: np.ndarray | None
  seconds: float
  compile_seconds: float


def play(
  cell: Cell,
  params: Params,
  pool: Pool,
  *,
  stream: int,
  count: int,
  advance: Callable[[int], Any],
) -> Scored:
  """Plays trials 0..count-1 of a cell, each on a task of its own.

  Args:
    cell: what is played.
    params: the meta-knowledge w.
    pool: the images that tasks and candidates are drawn from.
    stream: `CALIBRATION` or `REPORTED`; trials of different streams are independent.
    count: how many trials; every other one has a member.
    advance: called with the number of trials done since it was last called.

  Raises:
    FloatingPointError: if a score is not finite, as where the inner loop diverges.
  """
  mesh = jax.make_mesh((jax.device_count(),), ('trials',), axis_types=(AxisType.Auto,))
  everywhere = NamedSharding(mesh, P())
  key = jax.random.fold_in(jax.random.key(cell.seed), stream)
  pool, shared = jax.device_put((pool, _share(cell, params)), everywhere)
  size = cell.chunk * CHUNKS_PER_BLOCK * mesh.size
  blocks = []
  for first in range(0, count, size):
    indices = jnp.arange(first, first + size)
    blocks.append(_play_block(cell, key, pool, shared, indices, mesh))
    advance(min(size, count - first))
  lost = sum(np.count_nonzero(~np.isfinite(block.scores)) for block in blocks)
  if lost:
    raise FloatingPointError(f'{describe(cell)}: {lost} scores are not finite')
  return _join(blocks, count)


def _play_block(
  cell: Cell,
  key: jax.Array,
  pool: Pool,
  shared: Shared,
  indices: jax.Array,
  mesh: jax.sharding.Mesh,
) -> Block:
  """Draws and plays the trials of these indices."""
  game = {'ways': cell.ways, 'shots': cell.shots, 'target': cell.target}
  drawn = jax.device_put(_draw(key, pool, indices, **game), NamedSharding(mesh, P('trials')))
  static = {'attack': cell.attack, 'chunk': cell.chunk, 'mesh': mesh}
  attack, compile_seconds = compile_once(_attack, *drawn, shared, **static)
  start = time.perf_counter()
  scores, pictures = jax.block_until_ready(attack(*drawn, shared))
  seconds = time.perf_counter() - start
  candidates = drawn[1].candidate.image
  scores, candidates, pictures = jax.device_get((scores, candidates, pictures))
  return Block(scores, candidates, pictures, seconds, compile_seconds)


def _join(blocks: Sequence[Block], count: int) -> Scored:
  """The first `count` trials of all blocks."""
  indices = np.arange(count)
  scores = np.concatenate([block.scores for block in blocks])
  trials = results.Trials(
    scores=scores[:count].tolist(),
    members=_is_member(indices).tolist(),
    tasks=indices.tolist(),
  )
  first, examples = blocks[0], None
  if first.pictures is not None:
    shown = slice(min(EXAMPLES, count))
    examples = make_examples(first.candidates[shown], first.pictures[shown])
  seconds = sum(block.seconds for block in blocks) * count / len(scores)
  return Scored(trials, examples, seconds, sum(block.compile_seconds for block in blocks))


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
