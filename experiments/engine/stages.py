"""The stages of a trial, each jitted over a block of them: draw, observe, attack.

What the trials of a cell share is passed, not closed over, so that cells of one shape share
one compilation. Chunks of trials run under one `vmap`, shared out over the devices of a mesh.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from experiments.config.attacks import is_bound
from experiments.config.cell import Cell
from experiments.config.streams import Stream, TrialStream, stream_key
from experiments.engine import models
from experiments.engine.preparing import prepare_once
from experiments.store.trials import Played
from mamljax.attacks import Attack, Knowledge, Observation
from mamljax.attacks.base import required, tell
from mamljax.audit import game
from mamljax.audit.game import Trial
from mamljax.audit.likelihood_ratio import Bound
from mamljax.data import Splits
from mamljax.defences import Defence
from mamljax.errors import InputError
from mamljax.learner import Sent, send
from mamljax.maml import InnerLoop
from mamljax.types import Params, Pool, Task


class Shared(NamedTuple):
  """What the trials of a cell share.

  Attributes:
    knowledge: what the adversary knows beforehand.
    prepared: what the attack made of it.
    inner, defence: what the learners do.
    attack: the attack; a bound in its place.
  """

  knowledge: Knowledge
  prepared: Any
  inner: InnerLoop
  defence: Defence
  attack: Any


class Health(NamedTuple):
  """What stayed finite in trials, of all their learners; no adversary is told.

  Attributes:
    adapted: the adapted parameters [n].
    gradient: what is sent [n].
  """

  adapted: jax.Array | np.ndarray
  gradient: jax.Array | np.ndarray


def is_member(indices: Any) -> Any:
  """Members and non-members take turns, as in the paper half of the trials are of each."""
  return indices % 2 == 0


@functools.partial(
  jax.jit, static_argnames=('ways', 'shots', 'target', 'learners', 'non_members')
)
def draw(
  key: jax.Array, pool: Pool, indices: jax.Array, **rules: Any
) -> tuple[jax.Array, Trial]:
  """The keys and the draws of some trials; trial t depends on `fold_in(key, t)` alone."""

  def one(index: jax.Array) -> tuple[jax.Array, Trial]:
    key_draw, key_play = jax.random.split(jax.random.fold_in(key, index))
    return key_play, game.draw_trial(key_draw, pool, is_member(index), **rules)

  return jax.vmap(one)(indices)


def share(cell: Cell, params: Params, references: Pool) -> tuple[Shared, dict[str, float]]:
  """What the trials of a cell share, and the seconds that preparing and compiling it took.

  A bound, which is no adversary's, prepares nothing.

  Args:
    cell: what is played.
    params: the meta-knowledge w.
    references: public images; the attack gets as many of each class as the cell says, or as
      the smallest class has, if it requires any.

  Raises:
    Diverged: if what is prepared is not finite.
  """
  described, attack = models.describe_training(cell), cell.attack
  if is_bound(attack):
    seconds = {'prepare_seconds': 0.0, 'compile_seconds': 0.0}
    knowledge = Knowledge(described.loss_fn, params, target=cell.game.target)
    return Shared(knowledge, None, described.inner, described.defence, attack), seconds
  knowledge = _know(cell, attack, params, references)
  key = stream_key(cell.seed, Stream.PREPARATION)
  prepared, seconds = prepare_once(attack, key, knowledge)
  return Shared(knowledge, prepared, described.inner, described.defence, attack), seconds


def refusal(cell: Cell, splits: Splits) -> str | None:
  """The reason why an attack cannot be run on a cell's network; None if it can.

  Nothing is computed.
  """

  def prepare_one(part: Cell) -> Any:
    attack, params = part.attack, models.initial_state(part.recipe, splits).params
    knowledge = _know(part, attack, params, splits.references)
    return attack.prepare(jax.random.key(0), knowledge)

  attacks = [part for part in cell.alone if not is_bound(part.attack)]
  try:
    for part in attacks:
      jax.eval_shape(functools.partial(prepare_one, part))
  except InputError as error:
    return str(error)
  return None


def _know(cell: Cell, attack: Attack, params: Params, references: Pool) -> Knowledge:
  """The adversary's knowledge and belief about the inner loop: what its attack requires."""
  described = models.describe_training(cell)
  inner = described.inner
  everything = Knowledge(
    described.loss_fn,
    params,
    inner=dataclasses.replace(inner, order=cell.game.assumed_order or inner.order),
    references=references,
    defence=described.defence,
    target=cell.game.target,
    ways=cell.task.ways,
    shots=cell.task.shots,
    withheld=cell.game.withheld_names,
  )
  known = tell(attack, everything)
  if known.references is None:
    return known
  count = cell.game.references or 0
  return dataclasses.replace(known, references=first_of_each(references, count))


def first_of_each(pool: Pool, count: int) -> Pool:
  """The first images of each class, equally many: `count`, or what the smallest class has."""
  count = min(count, int(np.min(pool.counts)))
  rows = (np.asarray(pool.starts)[:, None] + np.arange(count)).ravel()
  counts = np.full(len(pool.counts), count, np.int32)
  starts = np.arange(len(counts), dtype=np.int32) * count
  return Pool(*map(jnp.asarray, (pool.images[rows], starts, counts)))


@functools.partial(jax.jit, static_argnames=('chunk', 'mesh'))
def observe(
  keys: jax.Array,
  trials: Trial,
  shared: Shared,
  *,
  chunk: int,
  mesh: jax.sharding.Mesh,
) -> tuple[Observation, Health]:
  """What the adversary sees of each learner, [trials, learners], and the trials' health."""
  requires = required(shared.attack, shared.knowledge)

  def see(
    shared: Shared, key: jax.Array, task: Task, classes: jax.Array
  ) -> tuple[Observation, Sent]:
    known, defence = shared.knowledge, shared.defence
    sent = send(key, known.loss_fn, known.params, task, shared.inner, defence=defence)
    return game.show(sent, task, classes=classes, requires=requires), sent

  def see_learners(
    shared: Shared, keyed: tuple[jax.Array, Trial]
  ) -> tuple[Observation, Health]:
    key, trial = keyed
    see_all = jax.vmap(functools.partial(see, shared))
    keys = _learner_keys(key, TrialStream.SEND, trial)
    seen, sent = see_all(keys, trial.tasks, trial.classes)
    return seen, Health(sent.is_adapted.all(), sent.is_finite.all())

  return _share_out(see_learners, shared, (keys, trials), chunk=chunk, mesh=mesh)


@functools.partial(jax.jit, static_argnames=('chunk', 'mesh'))
def attack(
  keys: jax.Array,
  trials: Trial,
  seen: Observation,
  shared: Shared,
  *,
  chunk: int,
  mesh: jax.sharding.Mesh,
) -> Played:
  """Scores some trials."""

  def play(shared: Shared, keyed: tuple[jax.Array, Trial, Observation]) -> Played:
    key, trial, observations = keyed
    score: Any = shared.attack.score
    score_all = jax.vmap(lambda *told: score(told[0], shared.prepared, *told[1:]))
    key_scores = _learner_keys(key, TrialStream.SCORE, trial)
    scores, info = score_all(key_scores, observations, trial.candidates)
    best = scores.argmax()
    info = jax.tree.map(lambda leaf: leaf[best], info)
    right, known = None, shared.knowledge
    if info.inferred_labels is not None:
      truth = getattr(trial.tasks, known.target).labels[best]
      counts = (
        jnp.bincount(labels, length=known.ways) for labels in (info.inferred_labels, truth)
      )
      right = jnp.minimum(*counts).sum() / len(truth)
    return Played(scores[best], best == trial.learner, info.reconstruction, right)

  return _share_out(play, shared, (keys, trials, seen), chunk=chunk, mesh=mesh)


@functools.partial(jax.jit, static_argnames=('chunk', 'mesh'))
def bound(
  keys: jax.Array,
  trials: Trial,
  shared: Shared,
  *,
  chunk: int,
  mesh: jax.sharding.Mesh,
) -> Played:
  """Scores some trials as nobody can who is not told the truth."""

  def play(shared: Shared, keyed: tuple[jax.Array, Trial]) -> Played:
    key, trial = keyed
    bound: Bound = shared.attack
    score, _ = bound.score(
      jax.random.fold_in(key, TrialStream.SCORE),
      shared.knowledge.loss_fn,
      shared.knowledge.params,
      trial,
      shared.inner,
      defence=shared.defence,
      target=shared.knowledge.target,
    )
    return Played(score, jnp.array(True), None, None)

  return _share_out(play, shared, (keys, trials), chunk=chunk, mesh=mesh)


def _learner_keys(key: jax.Array, stream: TrialStream, trial: Trial) -> jax.Array:
  """A key for each learner of a trial."""
  return jax.random.split(jax.random.fold_in(key, stream), len(trial.candidates.label))


def _share_out(
  function: Any, shared: Shared, trials: Any, *, chunk: int, mesh: jax.sharding.Mesh
) -> Any:
  """Maps over trials, shared out over the devices of `mesh`, a chunk at a time.

  What they share is passed: an array from outside `shard_map` cannot be indexed within.
  """

  def map_chunks(shared: Shared, trials: Any) -> Any:
    return jax.lax.map(functools.partial(function, shared), trials, batch_size=chunk)

  split = P('trials')
  shared_out = jax.shard_map(
    map_chunks, mesh=mesh, in_specs=(P(), split), out_specs=split, check_vma=False
  )
  return shared_out(shared, trials)
