"""The question about one update: its setting, and the division of public images for it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks import ATTACKS
from mamljax.audit.trials import Rules
from mamljax.defences import learners_of
from mamljax.errors import InputError
from mamljax.learner import resolve_defence
from mamljax.maml import undefended
from mamljax.reports import choice
from mamljax.reports.adversary import Adversary
from mamljax.reports.choice import Attacks
from mamljax.reports.division import Division, Parts
from mamljax.reports.setup import Setup, make_setup
from mamljax.types import Batch, LossFn, Params

# Shares of public images for attack and simulation; the rest are ranked among.
_CHOSEN, _NAMED, _UNTAUGHT = (0.25, 0.15), (0.35, 0.0), (0.0, 0.0)
PREPARE, SIMULATE, SCORE, READ = range(4)  # streams of randomness of a seed


class Question(NamedTuple):
  """A question about an update: who is asked about, and what is known.

  Attributes:
    setup: the setting that attacks are chosen for.
    rules: ways, shots, target and the learners that were added up.
    parts: public images.
    candidates: the images asked about, with their slots.
    query_set: the query set, where it is known.
    key: of all randomness.
  """

  setup: Setup
  rules: Rules
  parts: Parts
  candidates: Batch
  query_set: Batch | None
  key: jax.Array

  def stream(self, number: int) -> jax.Array:
    """The key of a stream of randomness."""
    return jax.random.fold_in(self.key, number)


def make_question(
  loss_fn: LossFn,
  params: Params,
  learner: Any,
  rules: Rules,
  candidates: Batch,
  parts: Parts,
  *,
  query_set: Batch | None,
  seed: int,
) -> Question:
  """The question about an update.

  Args:
    loss_fn: the task's loss.
    params: the parameters w.
    learner: the learner, with its defence.
    rules: of the task.
    candidates: the images asked about.
    parts: public images.
    query_set: the query set, where it is known.
    seed: of all randomness.
  """
  inner, defence = undefended(learner), resolve_defence(learner, None)
  if (summed := learners_of(defence.outgoing)) > 1:
    raise InputError(
      f'an update that is the mean of {summed} learners is asked about by learners={summed}, '
      f'without an Aggregate'
    )
  adversary = Adversary(query_set=query_set is not None)
  knowledge = adversary.knowledge(
    loss_fn,
    jax.tree.map(jnp.asarray, params),
    learner=inner,
    defence=defence,
    references=parts.references,
    target=rules.target,
    ways=rules.ways,
    shots=rules.shots * rules.learners,
  )
  setup = make_setup(knowledge, adversary, parts.references, inner=inner, defence=defence)
  return Question(setup, rules, parts, candidates, query_set, jax.random.key(seed))


def division_for(attack: Attacks, rules: Rules) -> Division:
  """The division of public images for attacks: no tasks are simulated for only one."""
  shares = _shares(attack, rules.target) if is_single(attack) else _CHOSEN
  return Division(*shares, least=2 * rules.shots * rules.learners + 1)


def is_single(attack: Attacks) -> bool:
  """Tests whether an attack is given by itself, and not to be chosen."""
  if isinstance(attack, str):
    return not choice.is_word(attack, 'auto', 'all')
  return hasattr(attack, 'score')


def _shares(attack: Any, target: str) -> tuple[float, float]:
  """The shares of public images that a given attack learns from, and that are simulated."""
  given: Any = ATTACKS.get(attack) if isinstance(attack, str) else attack
  requires = getattr(given, 'requires', {}).get(target, ())
  return _NAMED if 'references' in requires else _UNTAUGHT
