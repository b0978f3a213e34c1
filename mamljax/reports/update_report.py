"""Report of one update: a score, a p-value and a decision for each candidate."""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from mamljax.audit import conformal
from mamljax.reports import choice, declared, wording, writing
from mamljax.reports.questioning import Chosen, Question, Scored
from mamljax.reports.sight import Sight

HEADINGS = ('candidate', 'called', 'p-value', 'score', 'slot')
_SHOWN = 50  # candidates of a table on a terminal


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UpdateReport:
  """Membership of candidates in one update.

  Attributes:
    attack: the attack that scored them.
    scores: of the candidates [n], higher for a member.
    p_values: the probability, for one that is no member, of so high a rank or a higher one
      among public images of its class [n].
    called: the candidates that are called members [n], by Benjamini and Hochberg at level
      `fpr`: of those called, an expected share of at most `fpr` are none.
    fpr: that level.
    smallest_p: the smallest p-value that the public images allow for each candidate [n].
    slots: the slot of each candidate [n].
    images: images of the task that were read off the update itself, [k, height, width,
      channels], in no order; k may be 0.
    power: of each attack that was tried the AUC on simulated tasks.
    skipped: of each attack that was not tried the reason.
    assumptions: what was assumed, in sentences.
    warnings: what could not be told, and what may make it wrong.
  """

  attack: str
  scores: np.ndarray
  p_values: np.ndarray
  called: np.ndarray
  fpr: float
  smallest_p: np.ndarray
  slots: np.ndarray
  images: np.ndarray
  power: dict[str, float]
  skipped: dict[str, str]
  assumptions: tuple[str, ...]
  warnings: tuple[str, ...]

  @property
  def verdict(self) -> str:
    """The answer in a sentence or two."""
    count, called = len(self.scores), int(self.called.sum())
    if called:
      return (
        f'{called} of {count} candidates {"are" if called > 1 else "is"} called '
        f'member{"s" if called > 1 else ""} by {self.attack}: an expected share of at most '
        f'{self.fpr:.3g} of the called are none.'
      )
    told = 'This does not show that none is a member: only that nothing could be told.'
    return f'None of {count} candidates is called a member by {self.attack}. {told}'

  @property
  def table(self) -> str:
    """A line for each candidate, the lowest p-values first, as aligned text."""
    lines = self._rows()
    more = f'\n... and {len(lines) - _SHOWN} more' if len(lines) > _SHOWN else ''
    return wording.aligned(HEADINGS, lines[:_SHOWN]) + more

  def _rows(self) -> list[tuple[str, ...]]:
    """The entries of each candidate, the lowest p-values first."""
    order = np.lexsort((-self.scores, self.p_values))
    return [
      (
        str(i),
        'member' if self.called[i] else '-',
        f'{self.p_values[i]:.4g}',
        f'{self.scores[i]:.4g}',
        str(self.slots[i]),
      )
      for i in order
    ]

  def to_dict(self) -> dict[str, Any]:
    """The report as numbers, texts, lists and dictionaries; images are left out."""
    arrays = {
      name: getattr(self, name).tolist()
      for name in ('scores', 'p_values', 'called', 'smallest_p', 'slots')
    }
    return {
      'verdict': self.verdict,
      'attack': self.attack,
      'fpr': self.fpr,
      **arrays,
      'images': len(self.images),
      'power': self.power,
      'skipped': self.skipped,
      'assumptions': list(self.assumptions),
      'warnings': list(self.warnings),
    }

  def to_json(self) -> str:
    """The report as JSON; images are left out."""
    return json.dumps(self.to_dict(), indent=1)

  def to_html(self, *, fragment: bool = False) -> str:
    """The report as one self-contained HTML page, or as a fragment of one, for notebooks."""
    from mamljax.reports import page, pictures

    drawn = {}
    if len(self.images):
      drawn['Images that were read off the update itself.'] = pictures.image_svg(self.images)
    content = page.Page(
      title='Which candidates are in this update',
      verdict=self.verdict,
      pictures=drawn,
      tables=[page.Table('Candidates', HEADINGS, self._rows()), *self._tried()],
      lists=self._lists,
      is_alarm=bool(self.called.any()) or len(self.images) > 0,
    )
    return page.render(content, fragment=fragment)

  def _tried(self) -> list[Any]:
    """The table of the attacks that were tried on simulated tasks."""
    from mamljax.reports import page

    ranked = sorted(self.power.items(), key=lambda one: -one[1])
    rows = [(name, f'{value:.2f}') for name, value in ranked]
    return [page.Table('Attacks tried on simulated tasks', ('attack', 'AUC'), rows)] * bool(
      rows
    )

  @property
  def _lists(self) -> dict[str, list[str]]:
    """Sentences under their titles."""
    return {
      'Warnings': list(self.warnings),
      'What was assumed': list(self.assumptions),
      'Attacks not tried': [f'{name}: {reason}' for name, reason in self.skipped.items()],
    }

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the report, whole or not at all, in the format that the suffix names.

    Args:
      path: a file that ends in .html or .json.

    Raises:
      InputError: if it ends in anything else, or the folder cannot be written.
    """
    writing.save(self, path)

  def _repr_html_(self) -> str:
    """A fragment of HTML for notebooks."""
    return self.to_html(fragment=True)

  def __str__(self) -> str:
    return wording.paragraphs(self.verdict, self.table, self._lists)

  def __repr__(self) -> str:
    return f'<UpdateReport: {self.called.sum()} of {len(self.scores)} called by {self.attack}>'


def make_update_report(
  question: Question,
  chosen: Chosen,
  scored: Scored,
  sight: Sight,
  *,
  learner: Any,
  rounds: int,
  fpr: float,
  shots: int | None,
) -> UpdateReport:
  """The report of an update.

  Args:
    question: what was asked.
    chosen: the attack.
    scored: scores and p-values.
    sight: images that were read off.
    learner: the learner.
    rounds: the number of updates.
    fpr: the level of the decisions.
    shots: images of each class in a set, if they were said.
  """
  return UpdateReport(
    attack=chosen.name,
    scores=scored.scores,
    p_values=scored.p_values,
    called=conformal.benjamini_hochberg(scored.p_values, fpr),
    fpr=fpr,
    smallest_p=scored.smallest,
    slots=np.asarray(question.candidates.labels),
    images=sight.images,
    power=chosen.power,
    skipped=chosen.skipped,
    assumptions=tuple(_assumptions(question, sight, learner, rounds, fpr, shots)),
    warnings=tuple(_warnings(question, chosen, scored, learner, fpr)),
  )


def _assumptions(
  question: Question, sight: Sight, learner: Any, rounds: int, fpr: float, shots: int | None
) -> list[str]:
  """The assumptions, in sentences."""
  rules, parts, setup = question.rules, question.parts, question.setup
  many = f' The sum of {rules.learners} learners was received.' * (rules.learners > 1)
  guessed = ' (shots= was not given: 1 is assumed)' * (shots is None)
  return [
    f'{rounds} update{"s" * (rounds > 1)} of a {rules.ways}-way {rules.shots}-shot '
    f'task{guessed}. The learner takes {declared.describe(learner)}. Its defence: '
    f'{declared.describe_defence(setup.defence)}.{many}',
    f'Candidates are ranked among {len(parts.slots)} public images of their classes that are '
    f'not in the task, and like them in all but membership: if public images are of another '
    f'source, p-values mean nothing.',
    f'Decisions are corrected for many candidates (Benjamini and Hochberg at {fpr:.3g}): a '
    f'non-member is called with a probability of at most {fpr:.3g}, and so is any at all where '
    f'no candidate is a member.',
    *setup.adversary.describe(rules.target),
    f'{sight.remark[0].upper()}{sight.remark[1:]}.',
  ]


def _warnings(
  question: Question, chosen: Chosen, scored: Scored, learner: Any, fpr: float
) -> list[str]:
  """Things that could not be told, and what may make the answer wrong."""
  found, count, least = [], len(scored.scores), float(scored.smallest.min())
  fewest = conformal.fewest_callable(least, fpr, count)
  if fewest is None:
    found.append(
      f'Too few public images: the smallest p-value possible is {least:.3g}, above '
      f'fpr={fpr:.3g}, so that nothing can be called. {int(np.ceil(1 / fpr))} public images '
      f'of each class, beside those that the attack learns from, are needed at least.'
    )
  elif fewest > 1:
    found.append(
      f'Public images are few for so many candidates: the smallest p-value possible is '
      f'{least:.3g}, so that fewer than {fewest} members among {count} candidates cannot be '
      f'called at fpr={fpr:.3g}. Ask about fewer, or give more public images.'
    )
  best = chosen.power.get(chosen.name)
  if best is not None and best < 0.6:
    found.append(
      f'No attack tells members of simulated tasks (the best AUC is {best:.2f}): that nothing '
      f'is called shows nothing.'
    )
  plain = declared.is_plain(learner)
  notes = choice.notes({chosen.name: chosen.attack}, question.setup, plain=plain)
  found.extend(f'{chosen.name} {note}.' for note in notes[chosen.name])
  return found
