"""Playing the trials of a cell: draw them, let the learners send, attack.

Trials are computed in blocks: a block is a fixed number of chunks for each device, a chunk
is `cell.chunk` trials under one `vmap`. The shapes of the arithmetic, and with them every
bit of a score, depend on the cell alone, not on how many devices share the blocks out.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.config.attacks import is_bound
from experiments.config.cell import Cell
from experiments.config.streams import Stream, TrialStream, stream_key
from experiments.engine import stages
from experiments.engine.stages import is_member
from experiments.process import distributed
from experiments.process.compilation import compile_once, memory_bytes
from experiments.store import cells
from experiments.store.reconstructions import Examples, make_examples
from experiments.store.trials import EXAMPLES, Block, Keeper, Played, join
from mamljax.errors import Diverged
from mamljax.types import Pool

CHUNKS_PER_BLOCK = 4  # per device: long enough to hide dispatch, short enough to show progress


class Scored(NamedTuple):
  """A phase of a cell: its trials, pictures of the first, and what it took.

  `seconds` is computation only; that of trials computed to fill the last block is left out.
  `label_accuracy` is that of inferred labels, None where they are known.
  """

  trials: cells.Trials
  examples: Examples | None
  label_accuracy: float | None
  seconds: float
  compile_seconds: float
  memory_bytes: float = 0.0


NOTHING = Scored(cells.Trials([], [], [], []), None, None, 0.0, 0.0)


def play(
  cell: Cell,
  shared: stages.Shared,
  pool: Pool,
  *,
  stream: Stream,
  count: int,
  advance: Callable[[int], Any],
  keeper: Keeper | None = None,
  earlier: int = 0,
) -> Scored:
  """Plays trials 0..count-1 of a cell, each on a task of its own.

  Args:
    cell: what is played.
    shared: what its trials share; see `stages.share`.
    pool: the images that tasks and candidates are drawn from.
    stream: `CALIBRATION` or `REPORTED`, whose trials of different streams are independent.
    count: how many trials; every other one has a member.
    advance: called with the number of trials done since it was last called.
    keeper: where to go on from, and where to keep what is played; nowhere if None.
    earlier: which of the gradients of a task is attacked, 0 for the last one. The tasks are the
      same; what the learner's and the adversary's randomness is, is not.

  Raises:
    Diverged: if an adaptation, a gradient or a score is not finite; it says in how many trials.
    Interrupted: if the process was asked to stop; what is played is kept.
  """
  mesh = jax.make_mesh((jax.device_count(),), ('trials',), axis_types=(AxisType.Auto,))
  everywhere = NamedSharding(mesh, P())
  key = stream_key(cell.seed, stream)
  pool, shared = distributed.spread((pool, shared), everywhere)
  size = cell.execution.chunk * CHUNKS_PER_BLOCK * mesh.size
  blocks = keeper.load(stream) if keeper else []
  done = sum(len(block.played.scores) for block in blocks)
  if done:
    advance(min(done, count))
  for first in range(done, count, size):
    indices = jnp.arange(first, first + size)
    count_here = min(size, count - first)
    blocks.append(
      play_block(key, cell, pool, shared, indices, mesh, earlier=earlier, count=count_here)
    )
    _check_scores(blocks[-1], count_here)
    advance(count_here)
    blocks = keeper.keep(stream, blocks) if keeper else [join(blocks)]
  return _score(join(blocks), count)


class Ready(NamedTuple):
  """Trials that are drawn and observed, and wait to be attacked.

  Attributes:
    attack: the compiled `stages.attack` or `stages.bound`, to be called with `arguments`.
    arguments: its arrays.
    static: the arguments that it was compiled for.
    observe_seconds, attack_seconds: what compiling the two stages took.
  """

  attack: Callable[..., Played]
  arguments: tuple[Any, ...]
  static: dict[str, Any]
  observe_seconds: float
  attack_seconds: float


def prepare_block(
  key: jax.Array,
  cell: Cell,
  pool: Pool,
  shared: stages.Shared,
  indices: jax.Array,
  mesh: jax.sharding.Mesh,
  *,
  earlier: int = 0,
  count: int | None = None,
) -> Ready:
  """Draws and observes the trials of these indices, of one phase of a cell.

  A bound observes nothing: it is told.

  Args:
    key: of the phase.
    cell: what is played.
    pool: the images that tasks and candidates are drawn from.
    shared: what the cell's trials share.
    indices: integers [n], a multiple of the mesh's devices.
    mesh: the devices that share them out.
    earlier: see `play`.
    count: how many of them count; the others fill a block up. All if None.

  Raises:
    Diverged: if an adaptation or a gradient is not finite.
  """
  split = NamedSharding(mesh, P('trials'))
  own = distributed.own_rows(indices, split)
  keys, trials = stages.draw(key, distributed.own_copy(pool), own, **cell.rules)
  if earlier:  # the last is drawn as if it were alone
    fold = jax.random.fold_in
    keys = jax.vmap(lambda key: fold(fold(key, TrialStream.ROUND), earlier))(keys)
  keys, trials = distributed.spread((keys, trials), split)
  static = {'chunk': cell.execution.chunk, 'mesh': mesh}
  if is_bound(cell.attack):
    bound, seconds = compile_once(stages.bound, keys, trials, shared, **static)
    return Ready(bound, (keys, trials, shared), static, 0.0, seconds)
  observe, observe_seconds = compile_once(stages.observe, keys, trials, shared, **static)
  seen, health = jax.block_until_ready(observe(keys, trials, shared))
  check_health(distributed.gather(health), len(indices) if count is None else count)
  arguments = (keys, trials, seen, shared)
  attack, attack_seconds = compile_once(stages.attack, *arguments, **static)
  return Ready(attack, arguments, static, observe_seconds, attack_seconds)


def play_block(
  key: jax.Array,
  cell: Cell,
  pool: Pool,
  shared: stages.Shared,
  indices: jax.Array,
  mesh: jax.sharding.Mesh,
  *,
  earlier: int = 0,
  count: int | None = None,
) -> Block:
  """Draws, observes and attacks trials; the arguments are those of `prepare_block`."""
  ready = prepare_block(key, cell, pool, shared, indices, mesh, earlier=earlier, count=count)
  start = time.perf_counter()
  played = jax.block_until_ready(ready.attack(*ready.arguments))
  seconds = time.perf_counter() - start
  _, trials, *_ = ready.arguments
  played, candidates = distributed.gather((played, trials.candidates.image[:, 0]))
  compile_seconds = ready.observe_seconds + ready.attack_seconds
  return Block(played, candidates, seconds, compile_seconds, memory_bytes(ready.attack))


def check_health(health: stages.Health, count: int) -> None:
  """Refuses trials whose learners diverged, whatever an attack would make of them."""
  adapted, sent = (~part[:count] for part in health)
  lost = np.count_nonzero(adapted | sent)
  if lost:
    raise Diverged(
      f'the inner loop, or the noise on it, diverged in {lost} of {count} trials: adapted '
      f'parameters are not finite in {np.count_nonzero(adapted)}, gradients in '
      f'{np.count_nonzero(sent)}'
    )


def _check_scores(block: Block, count: int) -> None:
  """Refuses scores that decide nothing, as where an attack's own simulations diverge."""
  lost = np.count_nonzero(~np.isfinite(block.played.scores[:count]))
  if lost:
    raise Diverged(
      f'the scores of {lost} of {count} trials are not finite: what was computed of what the '
      f'learners sent diverged'
    )


def _score(block: Block, count: int) -> Scored:
  """The first `count` trials of a block.

  Raises:
    Diverged: if a score is not finite.
  """
  _check_scores(block, count)
  indices, played = np.arange(count), block.played
  trials = cells.Trials(
    scores=played.scores[:count].tolist(),
    members=is_member(indices).tolist(),
    tasks=indices.tolist(),
    located=played.located[:count].tolist(),
  )
  examples, shown = None, slice(min(EXAMPLES, count))
  if played.pictures is not None:
    examples = make_examples(block.candidates[shown], np.asarray(played.pictures)[shown])
  inferred = played.labels_right
  return Scored(
    trials,
    examples,
    label_accuracy=None if inferred is None else float(inferred[:count].mean()),
    seconds=block.seconds * count / len(played.scores),
    compile_seconds=block.compile_seconds,
    memory_bytes=block.memory_bytes,
  )
