"""The membership game at scale: trials of an attack, on all devices, and their truths."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks.base import Attack, check_learner, tell
from mamljax.attacks.knowledge import Knowledge, known_ways
from mamljax.audit.blocks import play_blocks
from mamljax.audit.likelihood_ratio import Bound
from mamljax.audit.trials import Rules, Setting, is_member
from mamljax.defences import AnyDefence
from mamljax.errors import InputError
from mamljax.images import as_floats
from mamljax.learner import resolve_defence
from mamljax.maml import Inner, as_learner
from mamljax.protocol.learner import Learner, check_target
from mamljax.slots import check_scalar, check_ways
from mamljax.types import Pool


class Outcome(NamedTuple):
  """Scores of a game, and the truths to judge them by.

  Attributes:
    scores: [trials], higher for a member.
    members: the truth [trials], booleans.
    located: whether the learner of the highest score is the challenger's [trials].
  """

  scores: np.ndarray
  members: np.ndarray
  located: np.ndarray


def play(
  key: jax.Array,
  pool: Pool,
  knowledge: Knowledge,
  *,
  attack: Attack | Bound,
  trials: int,
  inner: Inner | None = None,
  defence: AnyDefence | None = None,
  learners: int = 1,
  non_members: str = 'same_class',
  chunk: int = 8,
) -> Outcome:
  """Plays trials of the membership game, each on a task of its own, on all devices.

  Args:
    key: a random key.
    pool: the victims' images, at least 2 * shots * learners + 1 of each class.
    knowledge: what the adversary knows, of which the attack is told what it requires: the loss,
      w, the set that is sought, ways and shots at the least.
    attack: an attack or a bound.
    trials: how many; every other one has a member.
    inner: the learners' inner loop, or their declaration as a `Learner`; that which the
      adversary knows by default.
    defence: the learners' defence; their own, or that which the adversary knows, by default.
    learners: task-learners of a trial; 1 is the local game.
    non_members: 'same_class', 'any_class' or 'other_set', see `game.draw_trial`.
    chunk: trials computed together on a device. The last bits of a score depend on it.

  Returns:
    Scores and truths. On other numbers of devices, or for more trials, the same.

  Raises:
    InputError: if the attack does not apply, the pool is too small, or no inner loop is known.
    Diverged: if an adaptation, a gradient or a score is not finite.

  A thousand trials of an attack of one's own on a loss of one's own:

  >>> import dataclasses
  >>> from typing import ClassVar
  >>> import jax, jax.numpy as jnp
  >>> from mamljax import BaseAttack, Info, InnerLoop, Knowledge, play
  >>> from mamljax.audit.metrics import auc
  >>> from mamljax.data import load_dataset, split_dataset
  >>>
  >>> def loss_fn(params, batch):
  ...   odds = jax.nn.log_softmax(batch.images.reshape(len(batch.images), -1) @ params)
  ...   return -jnp.mean(jnp.take_along_axis(odds, batch.labels[:, None], axis=1))
  >>>
  >>> @jax.tree_util.register_dataclass
  ... @dataclasses.dataclass(frozen=True, kw_only=True)
  ... class Overlap(BaseAttack):
  ...   requires: ClassVar = {'query': frozenset()}
  ...   def score(self, key, prepared, observation, candidate):
  ...     own, image = observation.gradient[:, candidate.label], candidate.image.ravel()
  ...     return -own @ image / jnp.linalg.norm(image), Info()
  >>>
  >>> pool = split_dataset(load_dataset('mnist_sample'), seed=0).victims
  >>> known = Knowledge(loss_fn, jnp.zeros((784, 2)), InnerLoop(1, 0.1), ways=2, shots=1)
  >>> told = play(jax.random.key(0), pool, known, attack=Overlap(), trials=1000, chunk=125)
  >>> told.scores.shape, auc(told.scores, told.members) > 0.7
  ((1000,), True)
  """
  inner = inner or knowledge.inner
  if inner is None:
    raise InputError('learners adapt by an inner loop: give one, or put it in the knowledge')
  check_outputs(knowledge, pool)
  learner = as_learner(inner)
  defence = resolve_defence(
    learner, defence or (None if learner.defence else knowledge.defence)
  )
  _check_learners(attack, knowledge, learner)
  key_prepare, key_trials = jax.random.split(key)
  told, prepared = _prepare(key_prepare, knowledge, attack)
  setting = Setting(
    knowledge=told,
    prepared=prepared,
    attack=attack,
    inner=learner.undefended,
    defence=defence,
    rules=Rules(knowledge.ways, knowledge.shots, knowledge.target, learners, non_members),
    chunk=chunk,
  )
  blocks = play_blocks(key_trials, pool, setting, count=trials)
  played = [(block.played.scores, block.played.located) for block in blocks]
  scores, located = (np.concatenate(part)[:trials] for part in zip(*played, strict=True))
  return Outcome(scores, is_member(np.arange(trials)), located)


def check_outputs(knowledge: Knowledge, pool: Pool) -> None:
  """Refuses a loss of many numbers, and more ways than outputs, as far as that can be told."""
  rows = np.linspace(0, len(pool.images) - 1, 4).astype(int)
  few = jnp.asarray(as_floats(pool.images[rows]))
  check_scalar(knowledge.loss_fn, knowledge.params, few)
  check_ways(knowledge.loss_fn, knowledge.params, few, ways=known_ways(knowledge))


def _check_learners(attack: Attack | Bound, knowledge: Knowledge, learner: Learner) -> None:
  """Refuses a target of which learners send nothing, and an attack that does not model them.

  An attack that is told another inner loop is asked about that one, by `tell`.
  """
  check_target(learner, knowledge.target)
  if knowledge.inner is None and not isinstance(attack, Bound):
    check_learner(attack, learner, target=knowledge.target)


def _prepare(
  key: jax.Array, knowledge: Knowledge, attack: Attack | Bound
) -> tuple[Knowledge, Any]:
  """The knowledge that an attack is told, and its preparation; a bound has none."""
  if isinstance(attack, Bound):
    return knowledge, None
  told = tell(attack, knowledge)
  return told, prepare_attack(key, attack, told, kind=type(attack))


@functools.partial(jax.jit, static_argnames='kind')
def prepare_attack(key: jax.Array, attack: Attack, knowledge: Knowledge, *, kind: type) -> Any:
  """Prepares an attack of a class, `kind`, before any gradient arrives.

  To JAX, attacks of two classes are equal if their options are; their kinds are not.
  """
  del kind
  return attack.prepare(key, knowledge)
