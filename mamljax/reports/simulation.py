"""Simulated tasks of public images: which attack tells most, found without any candidate."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks.base import Attack
from mamljax.attacks.knowledge import Candidate, Observation
from mamljax.audit.game import draw_trial, show
from mamljax.audit.metrics import auc
from mamljax.audit.trials import EVERYTHING, Rules, is_member
from mamljax.learner import send
from mamljax.types import Pool

TASKS = 64  # simulated: an error of 0.06 in an AUC of 0.7
_AT_ONCE = 8


class Simulated(NamedTuple):
  """Simulated updates, every other one with a candidate in it.

  Attributes:
    seen: the observation of each.
    candidates: the image asked about, and its slot.
  """

  seen: Observation
  candidates: Candidate


@functools.partial(jax.jit, static_argnames=('rules', 'kinds'))
def simulate(
  key: jax.Array, pool: Pool, setup: Any, *, rules: Rules, kinds: tuple[type, ...]
) -> Simulated:
  """Updates of tasks that are drawn of public images.

  Args:
    key: a random key.
    pool: the images.
    setup: of the learners: the adversary's knowledge, the inner loop and the defence.
    rules: of the game; with several learners their mean is received.
    kinds: the classes of the learner's parts, which to JAX are equal if their fields are.
  """
  del kinds
  known, inner, defence = setup

  def one(index: jax.Array) -> Simulated:
    key_draw, key_send = jax.random.split(jax.random.fold_in(key, index))
    trial = draw_trial(key_draw, pool, is_member(index), **rules._asdict())

    def update(key: jax.Array, task: Any) -> Any:
      return send(key, known.loss_fn, known.params, task, inner, defence=defence)

    sent = jax.vmap(update)(jax.random.split(key_send, rules.learners), trial.tasks)
    mean = sent._replace(gradient=jax.tree.map(lambda leaf: leaf.mean(axis=0), sent.gradient))
    own = jax.tree.map(lambda leaf: leaf[trial.learner], (trial.tasks, trial.classes))
    seen = show(mean, own[0], inner=inner, classes=own[1], requires=EVERYTHING)
    label = trial.candidates.label[trial.learner]
    return Simulated(
      repeated(seen, rules.learners), Candidate(trial.candidates.image[0], label)
    )

  return jax.lax.map(one, jnp.arange(TASKS), batch_size=_AT_ONCE)


def repeated(seen: Observation, learners: int) -> Observation:
  """The observation of a mean over learners, as of one with the images of all."""
  return seen._replace(
    support_labels=jnp.tile(seen.support_labels, learners),
    query_labels=jnp.tile(seen.query_labels, learners),
  )


def power(scores: np.ndarray) -> float:
  """The AUC of scores of simulated updates; 0 where one is not finite."""
  if not np.isfinite(scores).all():
    return 0.0
  return auc(scores, is_member(np.arange(TASKS))) or 0.0


@functools.partial(jax.jit, static_argnames=('kind', 'is_shared'))
def score_images(
  keys: jax.Array,
  attack: Attack,
  prepared: Any,
  seen: Observation,
  candidates: Candidate,
  *,
  kind: type,
  is_shared: bool,
) -> jax.Array:
  """The scores of many candidates, [n], a few at a time.

  Args:
    keys: a random key for each.
    attack: the attack.
    prepared: what it prepared.
    seen: the observation of all candidates, or of each, [n].
    candidates: the candidates.
    kind: the attack's class, which to JAX equals others with the same options.
    is_shared: one observation is of all candidates.
  """
  del kind

  def one(asked: Any) -> jax.Array:
    own_key, candidate, own = asked
    return attack.score(own_key, prepared, seen if is_shared else own, candidate)[0]

  each = keys, candidates, None if is_shared else seen
  return jax.lax.map(one, each, batch_size=_AT_ONCE)
