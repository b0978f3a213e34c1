"""The stages of a trial, each jitted over a block of them: draw, observe, attack.

What the trials share is passed, not closed over, so that settings of one shape share one
compilation. Chunks of trials run under one `vmap`, shared out over the devices of a mesh.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from mamljax.attacks.base import Attack, BaseAttack, Needs, Requirements, required
from mamljax.attacks.knowledge import Knowledge, Observation
from mamljax.audit import game
from mamljax.audit.game import Trial
from mamljax.audit.likelihood_ratio import Bound
from mamljax.audit.placement import AXIS
from mamljax.compiler import quick_options
from mamljax.defences import Defence
from mamljax.learner import Sent, send
from mamljax.maml import Inner
from mamljax.types import Pool, Task

EVERYTHING: Needs = frozenset({'query_set', 'classes'})  # that can be observed


class TrialStream(enum.IntEnum):
  """Streams of randomness of the key that a trial is played with, each named once.

  The number of a stream stands behind every published result, and is never given to another.
  """

  SEND = 0
  SCORE = 1
  ROUND = 2  # of an earlier gradient of the same task


class Rules(NamedTuple):
  """Rules of a game, see `game.draw_trial`.

  Attributes:
    ways: classes of a task.
    shots: images of each class in each of its two sets.
    target: 'query' or 'support', the set that is attacked.
    learners: task-learners; 1 is the local game.
    non_members: 'same_class', 'any_class' or 'other_set', see `game.draw_trial`.
  """

  ways: int
  shots: int
  target: str
  learners: int = 1
  non_members: str = 'same_class'


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
  """The part of a game that all its trials share.

  To JAX, registered dataclasses of two classes are equal if their static fields are: the
  structure of a setting names the classes, lest one attack be scored by another's program.

  Attributes:
    knowledge: the adversary's knowledge before any gradient arrives.
    prepared: the attack's preparation from it; None of a bound.
    attack: the attack, or a bound in its place.
    inner: the learners' inner loop, or their declaration, without a defence.
    defence: the learners' defence.
    rules: of the game. Static.
    chunk: trials computed together on a device. Static; the last bits of a score depend on it.
  """

  knowledge: Knowledge
  prepared: Any
  attack: Attack | Bound
  inner: Inner
  defence: Defence
  rules: Rules
  chunk: int

  def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The parts that are pytrees, and what is static, their classes included."""
    parts = self.knowledge, self.prepared, self.attack, self.inner, self.defence
    return parts, (self.rules, self.chunk, *map(type, parts))

  @classmethod
  def tree_unflatten(cls, static: tuple[Any, ...], parts: tuple[Any, ...]) -> 'Setting':
    """The setting of which `tree_flatten` gave these."""
    names = 'knowledge', 'prepared', 'attack', 'inner', 'defence'
    return cls(**dict(zip(names, parts, strict=True)), rules=static[0], chunk=static[1])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Witness(BaseAttack):
  """Requirements of all attacks together, of what is observed; it scores nothing."""

  requires: ClassVar[Requirements] = {'query': EVERYTHING, 'support': EVERYTHING}
  optional: ClassVar[Requirements] = {'query': EVERYTHING, 'support': EVERYTHING}


def witness(knowledge: Knowledge, **common: Any) -> Setting:
  """The setting in which everything is observed, whichever attack it is for.

  All attacks on learners of one kind so share the program of `observe`: what each is shown of
  it `game.show_required` says.

  Args:
    knowledge: any adversary's, of which the loss, w and the target are kept.
    **common: the other fields of a `Setting`.
  """
  known = Knowledge(knowledge.loss_fn, knowledge.params, target=knowledge.target)
  everything: Any = _Witness()
  return Setting(knowledge=known, prepared=None, attack=everything, **common)


class Played(NamedTuple):
  """Outcome of trials.

  Attributes:
    scores: the highest score of any learner [n].
    located: whether that learner is the challenger's a [n].
    pictures: the attack's reconstruction of the candidate there, if it reconstructs any.
    labels_right: the share of labels that the attack inferred rightly there, if it infers them.
  """

  scores: jax.Array | np.ndarray
  located: jax.Array | np.ndarray
  pictures: jax.Array | np.ndarray | None
  labels_right: jax.Array | np.ndarray | None


class Health(NamedTuple):
  """Finiteness of what all learners of trials computed; no adversary is told.

  Attributes:
    adapted: of the adapted parameters [n].
    gradient: of the gradients that are sent [n].
  """

  adapted: jax.Array | np.ndarray
  gradient: jax.Array | np.ndarray


def is_member(indices: Any) -> Any:
  """Truths of the trials of some numbers: members and non-members take turns."""
  return indices % 2 == 0


def draw(
  key: jax.Array, pool: Pool, indices: jax.Array, *, rules: Rules, others: int = 0
) -> tuple[jax.Array, Trial]:
  """Draws some trials, and a key for each; trial t depends on `fold_in(key, t)` alone.

  `others` are further learners in the sum that is received, see `game.draw_trial`. Jitted, on a
  CPU without optimisation: integers are the same however they are computed. Places are drawn by
  one program for pools of any size, whose images are taken by another, compiled in no time.

  Raises:
    InputError: if the pool has too few classes, or too few images of a class.
  """
  game.check_rules(pool, rules.ways, rules.shots, learners=rules.learners, others=others)
  draw_places, take = _compiled_draw(jax.default_backend())
  without_images: Any = pool._replace(images=None)
  keys, places = draw_places(key, without_images, indices, rules=rules, others=others)
  return keys, take(pool, places, shots=rules.shots)


@functools.cache
def _compiled_draw(backend: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
  """The jitted `_draw_places` and `_take_trials` of a kind of device."""
  options = quick_options(backend, level=0)
  drawn = jax.jit(_draw_places, static_argnames=('rules', 'others'), compiler_options=options)
  return drawn, jax.jit(_take_trials, static_argnames='shots', compiler_options=options)


def _draw_places(
  key: jax.Array, pool: Pool, indices: jax.Array, *, rules: Rules, others: int
) -> tuple[jax.Array, game.Places]:
  def one(index: jax.Array) -> tuple[jax.Array, game.Places]:
    key_draw, key_play = jax.random.split(jax.random.fold_in(key, index))
    options: Any = rules._asdict() | {'others': others}
    return key_play, game.draw_places(key_draw, pool, is_member(index), **options)

  return jax.vmap(one)(indices)


def _take_trials(pool: Pool, places: game.Places, *, shots: int) -> Trial:
  return jax.vmap(lambda one: game.take_trial(pool, one, shots=shots))(places)


@functools.partial(jax.jit, static_argnames='mesh')
def observe(
  keys: jax.Array, trials: Trial, setting: Setting, *, mesh: Mesh
) -> tuple[Observation, Health]:
  """Lets all learners send, for the observations [trials, learners] and the trials' health."""
  requires = required(cast(Any, setting.attack), setting.knowledge)

  def see(
    setting: Setting, others: Task | None, key: jax.Array, task: Task, classes: jax.Array
  ) -> tuple[Observation, Sent]:
    known, told = setting.knowledge, cast(Any, {'defence': setting.defence, 'others': others})
    sent = send(key, known.loss_fn, known.params, task, setting.inner, **told)
    return game.show(sent, task, inner=setting.inner, classes=classes, requires=requires), sent

  def see_learners(
    setting: Setting, keyed: tuple[jax.Array, Trial]
  ) -> tuple[Observation, Health]:
    key, trial = keyed
    see_all = jax.vmap(functools.partial(see, setting, trial.others))
    keys = _learner_keys(key, TrialStream.SEND, trial)
    seen, sent = see_all(keys, trial.tasks, trial.classes)
    return seen, Health(sent.is_adapted.all(), sent.is_finite.all())

  return _share_out(see_learners, setting, (keys, trials), mesh=mesh)


@functools.partial(jax.jit, static_argnames='mesh')
def attack(
  keys: jax.Array,
  trials: Trial,
  seen: Observation,
  setting: Setting,
  *,
  mesh: Mesh,
) -> Played:
  """Scores some trials by an attack."""

  def play(setting: Setting, keyed: tuple[jax.Array, Trial, Observation]) -> Played:
    key, trial, observations = keyed
    score: Any = setting.attack.score
    score_all = jax.vmap(lambda *told: score(told[0], setting.prepared, *told[1:]))
    key_scores = _learner_keys(key, TrialStream.SCORE, trial)
    scores, info = score_all(key_scores, observations, trial.candidates)
    best = scores.argmax()
    info = jax.tree.map(lambda leaf: leaf[best], info)
    right, known = None, setting.knowledge
    if info.inferred_labels is not None:
      truth = getattr(trial.tasks, known.target).labels[best]
      right = _labels_right(info.inferred_labels, truth, ways=known.ways)
    return Played(scores[best], best == trial.learner, info.reconstruction, right)

  return _share_out(play, setting, (keys, trials, seen), mesh=mesh)


@functools.partial(jax.jit, static_argnames='mesh')
def bound(keys: jax.Array, trials: Trial, setting: Setting, *, mesh: Mesh) -> Played:
  """Scores some trials by a bound, which is told the truth."""

  def play(setting: Setting, keyed: tuple[jax.Array, Trial]) -> Played:
    key, trial = keyed
    known, oracle = setting.knowledge, setting.attack
    assert isinstance(oracle, Bound)
    score, _ = oracle.score(
      jax.random.fold_in(key, TrialStream.SCORE),
      known.loss_fn,
      known.params,
      trial,
      setting.inner,
      defence=setting.defence,
      target=known.target,
    )
    return Played(score, jnp.array(True), None, None)

  return _share_out(play, setting, (keys, trials), mesh=mesh)


def _labels_right(found: jax.Array, truth: jax.Array, *, ways: int) -> jax.Array:
  """The share of labels that are right, in whatever order."""
  counts = (jnp.bincount(labels, length=ways) for labels in (found, truth))
  return jnp.minimum(*counts).sum() / len(truth)


def _learner_keys(key: jax.Array, stream: TrialStream, trial: Trial) -> jax.Array:
  """A key for each learner of a trial."""
  return jax.random.split(jax.random.fold_in(key, stream), len(trial.candidates.label))


def _share_out(function: Any, setting: Setting, trials: Any, *, mesh: Mesh) -> Any:
  """Maps over trials, shared out over the devices of `mesh`, a chunk at a time.

  The setting is passed: an array from outside `shard_map` cannot be indexed within.
  """

  def map_chunks(setting: Setting, trials: Any) -> Any:
    return jax.lax.map(functools.partial(function, setting), trials, batch_size=setting.chunk)

  split = P(AXIS)
  shared_out = jax.shard_map(
    map_chunks, mesh=mesh, in_specs=(P(), split), out_specs=split, check_vma=False
  )
  return shared_out(setting, trials)
