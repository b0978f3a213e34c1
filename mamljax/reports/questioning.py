"""The question about one update: its setting, the choice of an attack, scores and p-values."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks import ATTACKS
from mamljax.attacks.base import Attack, required
from mamljax.attacks.knowledge import Candidate, Knowledge
from mamljax.audit import conformal
from mamljax.audit.side_by_side import make_player, show_required
from mamljax.audit.trials import Rules
from mamljax.errors import Diverged, InputError
from mamljax.learner import read_message, resolve_defence
from mamljax.maml import undefended
from mamljax.reports import choice, simulation
from mamljax.reports.adversary import Adversary
from mamljax.reports.choice import Attacks
from mamljax.reports.division import Division, Parts
from mamljax.reports.received import Round
from mamljax.reports.setup import Setup, make_setup
from mamljax.tasks import slot_labels
from mamljax.types import Batch, LossFn, Params

ENOUGH = 0.97  # AUC on simulated tasks beyond which costly attacks are not tried
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


class Chosen(NamedTuple):
  """The attack that was chosen.

  Attributes:
    name: its name.
    attack: the attack.
    power: of each attack that was tried the AUC on simulated tasks.
    skipped: of each other attack the reason.
  """

  name: str
  attack: Attack
  power: dict[str, float]
  skipped: dict[str, str]


class Scored(NamedTuple):
  """Scores of candidates and their p-values.

  Attributes:
    scores: of candidates [n], higher for a member.
    p_values: of candidates [n].
    smallest: the smallest p-value that public images allow for each candidate [n].
  """

  scores: np.ndarray
  p_values: np.ndarray
  smallest: np.ndarray


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
  shares = _shares(attack, rules.target) if _is_single(attack) else _CHOSEN
  return Division(*shares, least=2 * rules.shots * rules.learners + 1)


def _is_single(attack: Attacks) -> bool:
  """Tests whether an attack is given by itself, and not to be chosen."""
  if isinstance(attack, str):
    return not choice.is_word(attack, 'auto', 'all')
  return hasattr(attack, 'score')


def _shares(attack: Any, target: str) -> tuple[float, float]:
  """The shares of public images that a given attack learns from, and that are simulated."""
  given: Any = ATTACKS.get(attack) if isinstance(attack, str) else attack
  requires = getattr(given, 'requires', {}).get(target, ())
  return _NAMED if 'references' in requires else _UNTAUGHT


def choose_attack(question: Question, attack: Attacks) -> Chosen:
  """The attack with the greatest AUC on simulated tasks, or the only one that is given.

  Costly attacks are tried only where the others leave something to find. No candidate and none
  of the images that they are ranked among is looked at.

  Raises:
    InputError: if no attack applies.
  """
  applicable = choice.choose(attack, question.setup, argument='attack')
  found, skipped = applicable.attacks, dict(applicable.skipped)
  if _is_single(attack):
    name, given = next(iter(found.items()))
    return Chosen(name, given, {}, skipped)
  key, setup, power = question.stream(SIMULATE), question.setup, {}
  asked = _simulated(key, question)
  for name, one in found.items():
    best = max(power, key=power.__getitem__, default='')
    spared = applicable.is_auto and name in applicable.costly
    if spared and power.get(best, 0) >= ENOUGH:
      skipped[name] = f'left out for its cost: {best} tells enough of simulated tasks already'
      continue
    try:
      player = make_player(question.stream(PREPARE), name, one, setup.knowledge)
    except InputError as error:
      skipped[name] = str(error)
      continue
    power[name] = simulation.power(key, player, asked)
  best = max(power, key=power.__getitem__)
  return Chosen(best, found[best], power, skipped)


def _simulated(key: jax.Array, question: Question) -> simulation.Simulated:
  """Updates of simulated tasks of public images."""
  setup, rules = question.setup, question.rules
  learner = setup.knowledge, setup.inner, setup.defence
  kinds = tuple(map(type, (setup.inner, *setup.defence)))
  options: Any = {'rules': rules, 'kinds': kinds}
  return simulation.simulate(key, question.parts.simulated, learner, **options)


def score_candidates(question: Question, rounds: Sequence[Round], chosen: Chosen) -> Scored:
  """The scores of the candidates and their p-values among public images of their class.

  Raises:
    Diverged: if a score is not finite.
  """
  candidates, parts = question.candidates, question.parts
  slots = np.asarray(candidates.labels)
  images = jnp.concatenate([candidates.images, parts.nulls])
  asked = Candidate(images, jnp.asarray(np.concatenate([slots, parts.slots]), jnp.int32))
  scores = np.stack([_score_round(question, one, chosen, asked) for one in rounds])
  lost = np.count_nonzero(~np.isfinite(scores))
  if lost:
    raise Diverged(f'{lost} of {scores.size} scores of {chosen.name!r} are not finite')
  own, nulls = scores[:, : len(slots)], scores[:, len(slots) :]
  found = [_ranked(own[:, i], nulls[:, parts.slots == slot]) for i, slot in enumerate(slots)]
  values, p_values, smallest = map(np.array, zip(*found, strict=True))
  return Scored(values, p_values, smallest)


def _ranked(own: np.ndarray, nulls: np.ndarray) -> tuple[float, float, float]:
  """The score of one candidate in all rounds, its p-value, and the smallest possible."""
  if len(own) == 1:
    score, others = float(own[0]), nulls[0]
  else:
    together = conformal.combined(np.column_stack([own, nulls]))
    score, others = float(together[0]), together[1:]
  return score, conformal.p_value(score, others), conformal.smallest_p(others.size)


def _score_round(
  question: Question, one: Round, chosen: Chosen, asked: Candidate
) -> np.ndarray:
  """The scores of many images for one update."""
  rules, knowledge = question.rules, question.setup.knowledge
  known: Knowledge = dataclasses.replace(knowledge, params=one.params)
  player = make_player(question.stream(PREPARE), chosen.name, chosen.attack, known)
  shown = show_required(_observation(question, one), required(player.attack, player.knowledge))
  shown = simulation.repeated(shown, rules.learners)
  key, prepared = question.stream(SCORE), player.prepared
  options: Any = {'kind': type(player.attack), 'is_shared': True}
  scores = simulation.score_images(key, player.attack, prepared, shown, asked, **options)
  return np.asarray(scores)


def _observation(question: Question, one: Round) -> Any:
  """All that is observed of one update; slots hold the classes of their number."""
  labels = slot_labels(ways=question.rules.ways, shots=question.rules.shots)
  gradient, rates = read_message(one.update, question.setup.inner)
  return question.setup.seen._replace(
    gradient=gradient,
    rates=rates,
    support_labels=labels,
    query_labels=labels,
    query_set=question.query_set,
    classes=jnp.arange(question.rules.ways),
  )
