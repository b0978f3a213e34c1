"""Making of the report of an update: its assumptions and warnings, in sentences."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mamljax.audit import conformal
from mamljax.reports import choice, declared, wording
from mamljax.reports.division import Division, needed
from mamljax.reports.questioning import Question
from mamljax.reports.ranking import Scored
from mamljax.reports.sight import Sight
from mamljax.reports.trying import Chosen
from mamljax.reports.update_report import UpdateReport


class Said(NamedTuple):
  """Arguments of an audit that its report repeats.

  Attributes:
    learner: the learner.
    rounds: the number of updates.
    fpr: the level of the decisions.
    shots: images of each class in a set, if they were said.
    changed: sentences on what was changed in images and labels.
    division: of the public images.
  """

  learner: Any
  rounds: int
  fpr: float
  shots: int | None
  changed: tuple[str, ...]
  division: Division


def make_update_report(
  question: Question, chosen: Chosen, scored: Scored, sight: Sight, said: Said
) -> UpdateReport:
  """The report of an update.

  Args:
    question: what was asked.
    chosen: the attack.
    scored: scores and p-values.
    sight: images that were read off.
    said: arguments that are repeated.
  """
  return UpdateReport(
    attack=chosen.name,
    scores=scored.scores,
    p_values=scored.p_values,
    called=conformal.benjamini_hochberg(scored.p_values, said.fpr),
    fpr=said.fpr,
    smallest_p=scored.smallest,
    slots=np.asarray(question.candidates.labels),
    images=sight.images,
    power=chosen.power,
    skipped=chosen.skipped,
    assumptions=tuple(_assumptions(question, sight, said)),
    warnings=tuple(_warnings(question, chosen, scored, said)),
  )


def _assumptions(question: Question, sight: Sight, said: Said) -> list[str]:
  """The assumptions, in sentences."""
  rules, setup = question.rules, question.setup
  many = f' The sum of {rules.learners} learners was received.' * (rules.learners > 1)
  guessed = ' (shots= was not given: 1 is assumed)' * (said.shots is None)
  return [
    f'{said.rounds} update{"s" * (said.rounds > 1)} of a {rules.ways}-way {rules.shots}-shot '
    f'task{guessed}. The learner takes {declared.describe(said.learner)}. Its defence: '
    f'{declared.describe_defence(setup.defence, setup.inner)}.{many}',
    f'Candidates are ranked among public images of their classes that are not in the task, and '
    f'like them in all but membership: if public images are of another source, p-values mean '
    f'nothing. {_public(question)}',
    *said.changed,
    f'Decisions are corrected for many candidates (Benjamini and Hochberg at {said.fpr:.3g}): '
    f'a non-member is called with a probability of at most {said.fpr:.3g}, and so is any at '
    f'all where no candidate is a member.',
    *setup.adversary.describe(rules.target),
    f'{sight.remark[0].upper()}{sight.remark[1:]}.',
  ]


def _public(question: Question) -> str:
  """The numbers of public images of each class, by their use."""
  parts = question.parts
  nulls = np.bincount(parts.slots)
  own, simulated = (
    int(np.asarray(x.counts).min()) for x in (parts.references, parts.simulated)
  )
  ranked = f'{nulls.min()}' + f' to {nulls.max()}' * bool(nulls.max() > nulls.min())
  tasks = f', {simulated} for simulated tasks' * (simulated > 0)
  return f'Of each class: {own} for the attack to learn from{tasks}, {ranked} to rank among.'


def _warnings(question: Question, chosen: Chosen, scored: Scored, said: Said) -> Iterator[str]:
  """Things that could not be told, and what may make the answer wrong."""
  count, least = len(scored.scores), float(scored.smallest.min())
  fewest = conformal.fewest_callable(least, said.fpr, count)
  if fewest and fewest > 1:
    alone = needed(count, said.fpr)[1]
    yield (
      f'Public images are few for so many candidates: they are ranked among '
      f'{1 / least - 1:.0f} of their class, the smallest p-value possible is {least:.3g}, and '
      f'fewer than {fewest} members among {count} candidates cannot be called at '
      f'fpr={said.fpr:.3g}. To call one alone {alone} are needed, of '
      f'{said.division.whole(alone)} public images of each class. Ask about fewer candidates, '
      f'or give more public images.'
    )
  if chosen.late:
    yield f'{next(wording.left_out(chosen.late))} Ask again with a greater budget.'
  best = chosen.power.get(chosen.name)
  if best is not None and best < 0.6:
    yield (
      f'No attack tells members of simulated tasks (the best AUC is {best:.2f}): that nothing '
      f'is called shows nothing.'
    )
  plain = declared.is_plain(said.learner)
  notes = choice.notes({chosen.name: chosen.attack}, question.setup, plain=plain)
  for note in notes[chosen.name]:
    yield f'{chosen.name} {note}: an attack that does may find more.'
