"""Several attacks on the same trials: drawn and observed once, scored by each attack.

Drawing and observing do not depend on the attack. Of what is observed an attack is shown what
it requires and nothing else, so that its scores are those that `playing.play` gives it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mamljax.attacks.base import Attack, required, tell
from mamljax.attacks.knowledge import Knowledge
from mamljax.audit import compiling, trials
from mamljax.audit.blocks import check_health, draw_block
from mamljax.audit.compiling import Compile, as_needed
from mamljax.audit.game import show_required
from mamljax.audit.placement import gather, spread, trials_mesh
from mamljax.audit.playing import prepare_attack
from mamljax.audit.trials import Rules, Setting
from mamljax.defences import Defence
from mamljax.types import Pool


class Player(NamedTuple):
  """An attack that is ready to be played.

  Attributes:
    name: a name among the players.
    attack: the attack.
    knowledge: the part of the adversary's knowledge that it is told.
    prepared: what it prepared from that.
    compiled: makes the executable by which it scores.
  """

  name: str
  attack: Attack
  knowledge: Knowledge
  prepared: Any
  compiled: Compile = as_needed


class Scored(NamedTuple):
  """Scores of one attack on one block of trials.

  Attributes:
    name: the name of the player.
    start: the number of the block's first trial.
    scores: of its trials, without those that fill it up, [n].
    seconds: the time that scoring took, compilation included.
    compile_seconds: the part of it that compilation took.
  """

  name: str
  start: int
  scores: np.ndarray
  seconds: float
  compile_seconds: float


def make_player(
  key: jax.Array,
  name: str,
  attack: Attack,
  knowledge: Knowledge,
  *,
  compiled: Compile = as_needed,
) -> Player:
  """Prepares an attack from the part of some knowledge that it requires.

  Args:
    key: a random key.
    name: a name among the players.
    attack: the attack.
    knowledge: what the adversary knows.
    compiled: makes the executables by which it prepares and scores.

  Raises:
    InputError: if the attack does not apply.
  """
  told = tell(attack, knowledge)
  prepare, _ = compiled(prepare_attack, key, attack, told, kind=type(attack))
  prepared = jax.block_until_ready(prepare(key, attack, told))
  return Player(name, attack, told, prepared, compiled)


def play_side_by_side(
  key: jax.Array,
  pool: Pool,
  knowledge: Knowledge,
  players: Sequence[Player],
  *,
  inner: Any,
  defence: Defence,
  rules: Rules,
  count: int,
  chunk: int,
  done: Mapping[str, int],
  forget: Callable[[str], bool],
  compiled: Compile = as_needed,
) -> Iterator[Scored]:
  """Plays trials 0..count-1 with every player, in blocks of a chunk for each device.

  Blocks are short, so that after the first it is known how long a costly attack will take.

  Args:
    key: of the phase.
    pool: the images that tasks and candidates are drawn from.
    knowledge: the adversary's knowledge: the loss, w and the target.
    players: the attacks.
    inner: the learners' inner loop.
    defence: the learners' defence.
    rules: of the game.
    count: number of trials.
    chunk: trials computed together on a device.
    done: for each player how many of the first trials need not be played again.
    forget: tells by its name whether a player is to be played no more.
    compiled: makes the executable by which learners send.

  Yields:
    The scores of each player on each block; they may be other than finite.

  Raises:
    Diverged: if an adaptation or a gradient is not finite; it says in how many trials.
  """
  mesh = trials_mesh()
  common = {'inner': inner, 'defence': defence, 'rules': rules, 'chunk': chunk}
  witness = trials.witness(knowledge, **common)
  everywhere = NamedSharding(mesh, P())
  pool, witness = spread((pool, witness), everywhere)
  size = chunk * mesh.size
  for start in range(0, count, size):
    here = min(size, count - start)
    left = [x for x in players if done[x.name] < start + here and not forget(x.name)]
    if not left:
      continue
    indices = jnp.arange(start, start + size)
    keys, drawn = draw_block(key, pool, indices, mesh, rules=rules, defence=defence)
    observe, _ = compiled(trials.observe, keys, drawn, witness, mesh=mesh)
    seen, health = observe(keys, drawn, witness)
    check_health(gather(health), here)
    for player in left:
      begin, before = time.perf_counter(), compiling.seconds()
      setting = spread(_setting(player, common), everywhere)
      shown = show_required(seen, required(player.attack, player.knowledge))
      arguments = keys, drawn, shown, setting
      attack, _ = player.compiled(trials.attack, *arguments, mesh=mesh)
      scores = gather(attack(*arguments).scores)
      seconds, compile_seconds = time.perf_counter() - begin, compiling.seconds() - before
      yield Scored(player.name, start, scores[:here], seconds, compile_seconds)


def _setting(player: Player, common: Mapping[str, Any]) -> Setting:
  """The part of a game that all trials of a player share."""
  return Setting(
    knowledge=player.knowledge, prepared=player.prepared, attack=player.attack, **common
  )
