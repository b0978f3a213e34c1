"""Scores of the candidates in one update, and their p-values among public images."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mamljax.attacks.knowledge import Candidate
from mamljax.audit import conformal
from mamljax.errors import Diverged, InputError
from mamljax.learner import read_message
from mamljax.reports import simulation
from mamljax.reports.desk import Asked, Desk
from mamljax.reports.questioning import SCORE, Question
from mamljax.reports.received import Round
from mamljax.tasks import slot_labels


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


def asked_of(question: Question, rounds: Sequence[Round]) -> list[Asked]:
  """The candidates, and the public images that they are ranked among, in each update."""
  candidates, parts = question.candidates, question.parts
  images = jnp.concatenate([candidates.images, parts.nulls])
  slots = np.concatenate([np.asarray(candidates.labels), parts.slots])
  asked, key = Candidate(images, jnp.asarray(slots, jnp.int32)), question.stream(SCORE)
  return [
    Asked(
      f'update-{number + 1}',
      one.params,
      key,
      _observation(question, one),
      asked,
      is_shared=True,
      source=(one, asked, question.query_set),
    )
    for number, one in enumerate(rounds)
  ]


def score_candidates(
  desk: Desk, rounds: Sequence[Asked], name: str, *, is_tried: bool
) -> Scored:
  """The scores of the candidates and their p-values among public images of their class.

  Args:
    desk: where attacks score.
    rounds: from `asked_of`.
    name: the attack.
    is_tried: False for one whose pace is not known: too slow a one is refused.

  Raises:
    Diverged: if a score is not finite.
    InputError: if the attack would not end in time.
  """
  budget, count = desk.budget, sum(one.size for one in rounds)
  for pace in itertools.chain.from_iterable(desk.score(name, one) for one in rounds):
    ahead = pace._replace(left=desk.left(name, rounds)).ahead
    if not is_tried and budget.spent + ahead > budget.seconds:
      raise InputError(f'{name} is {budget.too_slow(pace.each, count, of="images")}')
    is_tried = True
  scores = np.stack([desk.kept(name, one).scores for one in rounds])
  lost = np.count_nonzero(~np.isfinite(scores))
  if lost:
    raise Diverged(f'{lost} of {scores.size} scores of {name!r} are not finite')
  return _rank(desk.question, scores)


def _rank(question: Question, scores: np.ndarray) -> Scored:
  """The candidates by their scores [rounds, candidates and public images]."""
  slots, others = np.asarray(question.candidates.labels), question.parts.slots
  own, nulls = scores[:, : len(slots)], scores[:, len(slots) :]
  found = [_ranked(own[:, i], nulls[:, others == slot]) for i, slot in enumerate(slots)]
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


def _observation(question: Question, one: Round) -> Any:
  """All that is observed of one update; slots hold the classes of their number."""
  rules, setup = question.rules, question.setup
  labels = slot_labels(ways=rules.ways, shots=rules.shots)
  gradient, rates = read_message(one.update, setup.inner)
  seen = setup.seen._replace(
    gradient=gradient,
    rates=rates,
    support_labels=labels,
    query_labels=labels,
    query_set=question.query_set,
    classes=jnp.arange(rules.ways),
  )
  return simulation.repeated(seen, rules.learners)
