"""Blocks of trials, on all devices: drawn, observed and attacked together.

A block is a fixed number of chunks for each device, a chunk is so many trials under one `vmap`.
The shapes of the arithmetic, and with them every bit of a score, depend on the chunk alone, not
on how many devices share the blocks out.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mamljax import checks
from mamljax.attacks.base import required
from mamljax.audit import trials
from mamljax.audit.compiling import Compile, as_needed
from mamljax.audit.game import Trial, show_required
from mamljax.audit.likelihood_ratio import Bound
from mamljax.audit.placement import AXIS, gather, own_copy, own_rows, spread, trials_mesh
from mamljax.audit.trials import Health, Played, Rules, Setting, TrialStream
from mamljax.defences import Defence, learners_of
from mamljax.errors import Diverged
from mamljax.types import Pool

CHUNKS_PER_BLOCK = 4  # per device: long enough to hide dispatch, short enough to show progress


class Ready(NamedTuple):
  """Trials that are drawn and observed, and wait to be attacked.

  Attributes:
    attack: the executable of `trials.attack` or `trials.bound`, for `arguments`.
    arguments: keys, trials, their observations and the setting; a bound observes nothing.
    static: the arguments that it was compiled for.
    observe_seconds: the time that compiling the observation took.
    attack_seconds: the time that compiling the attack took.
  """

  attack: Callable[..., Played]
  arguments: tuple[Any, ...]
  static: dict[str, Any]
  observe_seconds: float
  attack_seconds: float


class Block(NamedTuple):
  """Trials computed in one call.

  Attributes:
    played: the outcome of each trial.
    candidates: the images asked about [n, height, width, channels].
    seconds: the time that the attack took.
    compile_seconds: the time that compiling took.
    attack: the executable of the attack.
  """

  played: Played
  candidates: np.ndarray
  seconds: float
  compile_seconds: float
  attack: Callable[..., Played]


def play_blocks(
  key: jax.Array,
  pool: Pool,
  setting: Setting,
  *,
  count: int,
  first: int = 0,
  earlier: int = 0,
  compiled: Compile = as_needed,
) -> Iterator[Block]:
  """Plays the trials of a phase block by block, on all devices.

  Args:
    key: of the phase.
    pool: the images that tasks and candidates are drawn from.
    setting: what the trials share.
    count: trials of the phase; the last block is filled up with others.
    first: the number of trials that are played already: of whole blocks.
    earlier: the number of gradients that the learners sent of each task after the one that is
      attacked. The tasks are the same, the learner's and the adversary's randomness is not.
    compiled: makes the executables.

  Yields:
    A block of trials; all of its scores among the first `count` trials are finite.

  Raises:
    InputError: if the pool has too few images of a class.
    Diverged: if an adaptation, a gradient or a score is not finite; it says in how many trials.
  """
  rules = setting.rules
  checks.pool(pool, per_class=2 * rules.shots * rules.learners + 1)
  mesh = trials_mesh()
  pool, setting = spread((pool, setting), NamedSharding(mesh, P()))
  size = setting.chunk * CHUNKS_PER_BLOCK * mesh.size
  for start in range(first, count, size):
    indices, here = jnp.arange(start, start + size), min(size, count - start)
    options: dict[str, Any] = {'count': here, 'earlier': earlier, 'compiled': compiled}
    yield play_block(key, pool, setting, indices, mesh, **options)


def play_block(
  key: jax.Array,
  pool: Pool,
  setting: Setting,
  indices: jax.Array,
  mesh: Mesh,
  *,
  count: int | None = None,
  earlier: int = 0,
  compiled: Compile = as_needed,
) -> Block:
  """Draws, observes and attacks trials; the arguments are those of `prepare_block`.

  Raises:
    Diverged: if an adaptation, a gradient or a score is not finite.
  """
  count = len(indices) if count is None else count
  options: dict[str, Any] = {'count': count, 'earlier': earlier, 'compiled': compiled}
  ready = prepare_block(key, pool, setting, indices, mesh, **options)
  start = time.perf_counter()
  played = jax.block_until_ready(ready.attack(*ready.arguments))
  seconds = time.perf_counter() - start
  _, drawn, *_ = ready.arguments
  played, candidates = gather((played, drawn.candidates.image[:, 0]))
  check_scores(played, count)
  compile_seconds = ready.observe_seconds + ready.attack_seconds
  return Block(played, candidates, seconds, compile_seconds, ready.attack)


def draw_block(
  key: jax.Array,
  pool: Pool,
  indices: jax.Array,
  mesh: Mesh,
  *,
  rules: Rules,
  defence: Defence,
  earlier: int = 0,
) -> tuple[jax.Array, Trial]:
  """Draws the trials of these indices, shared out over the mesh; see `prepare_block`."""
  split = NamedSharding(mesh, P(AXIS))
  options: Any = {'rules': rules, 'others': learners_of(defence.outgoing) - 1}
  keys, drawn = trials.draw(key, own_copy(pool), own_rows(indices, split), **options)
  if earlier:  # the last is drawn as if it were alone
    fold = jax.random.fold_in
    keys = jax.vmap(lambda key: fold(fold(key, TrialStream.ROUND), earlier))(keys)
  return spread((keys, drawn), split)


def prepare_block(
  key: jax.Array,
  pool: Pool,
  setting: Setting,
  indices: jax.Array,
  mesh: Mesh,
  *,
  count: int | None = None,
  earlier: int = 0,
  compiled: Compile = as_needed,
) -> Ready:
  """Draws and observes the trials of these indices, of one phase.

  A bound observes nothing: it is told.

  Args:
    key: of the phase.
    pool: the images that tasks and candidates are drawn from.
    setting: what the trials share.
    indices: integers [n], a multiple of the mesh's devices.
    mesh: the devices that share them out.
    count: the number of those that count; the others fill a block up. All if None.
    earlier: see `play_blocks`.
    compiled: makes the executables.

  Raises:
    Diverged: if an adaptation or a gradient is not finite.
  """
  keys, drawn = draw_block(
    key, pool, indices, mesh, rules=setting.rules, defence=setting.defence, earlier=earlier
  )
  if isinstance(setting.attack, Bound):
    bound, seconds = compiled(trials.bound, keys, drawn, setting, mesh=mesh)
    return Ready(bound, (keys, drawn, setting), {'mesh': mesh}, 0.0, seconds)
  witness = trials.witness(
    setting.knowledge,
    inner=setting.inner,
    defence=setting.defence,
    rules=setting.rules,
    chunk=setting.chunk,
  )
  observe, observe_seconds = compiled(trials.observe, keys, drawn, witness, mesh=mesh)
  everything, health = jax.block_until_ready(observe(keys, drawn, witness))
  check_health(gather(health), len(indices) if count is None else count)
  seen = show_required(everything, required(setting.attack, setting.knowledge))
  arguments = (keys, drawn, seen, setting)
  attack, attack_seconds = compiled(trials.attack, *arguments, mesh=mesh)
  return Ready(attack, arguments, {'mesh': mesh}, observe_seconds, attack_seconds)


def check_health(health: Health, count: int) -> None:
  """Refuses trials whose learners diverged, whatever an attack would make of them."""
  adapted, sent = (~part[:count] for part in health)
  lost = np.count_nonzero(adapted | sent)
  if lost:
    raise Diverged(
      f'the inner loop, or the noise on it, diverged in {lost} of {count} trials: adapted '
      f'parameters are not finite in {np.count_nonzero(adapted)}, gradients in '
      f'{np.count_nonzero(sent)}'
    )


def check_scores(played: Played, count: int) -> None:
  """Refuses scores that decide nothing, as where an attack's own simulations diverge."""
  lost = np.count_nonzero(~np.isfinite(played.scores[:count]))
  if lost:
    raise Diverged(
      f'the scores of {lost} of {count} trials are not finite: what was computed of what the '
      f'learners sent diverged'
    )
