"""Report of one update: a score, a p-value and a decision for each candidate."""

import dataclasses
import json
from typing import Any

import numpy as np

from mamljax.reports import wording
from mamljax.reports.writing import Written

HEADINGS = ('candidate', 'called', 'p-value', 'score', 'slot')
TRIED_HEADINGS = ('attack', 'AUC')
TRIED = 'Attacks tried on simulated tasks'
_SHOWN = 50  # candidates of a table on a terminal
_LOWEST = 3  # p-values of a verdict


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UpdateReport(Written):
  """Membership of candidates in one update.

  Attributes:
    attack: the attack that scored them.
    scores: of the candidates [n], higher for a member.
    p_values: the probability, for one that is no member, of so high a rank or a higher one
      among public images of its class [n].
    called: the candidates that are called members [n], by Benjamini and Hochberg at level
      `fpr`: on average at most a share of `fpr` of those called are non-members.
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
        f'member{"s" if called > 1 else ""} by {self.attack}: on average, at most '
        f'{100 * self.fpr:.3g} % of those that are called are non-members.'
      )
    order = self._order()[:_LOWEST]
    lowest = ', '.join(f'{self.p_values[i]:.3g} (candidate {i})' for i in order)
    return (
      f'No candidate of {count} is called a member by {self.attack}. Lowest p-values: '
      f'{lowest}. This does not show that none is a member: only that nothing could be told.'
    )

  @property
  def table(self) -> str:
    """A line for each candidate, the lowest p-values first, as aligned text."""
    lines = self._rows()
    more = f'\n... and {len(lines) - _SHOWN} more' if len(lines) > _SHOWN else ''
    return wording.aligned(HEADINGS, lines[:_SHOWN]) + more

  def _rows(self) -> list[tuple[str, ...]]:
    """The entries of each candidate, the lowest p-values first."""
    return [
      (
        str(i),
        'member' if self.called[i] else '-',
        f'{self.p_values[i]:.4g}',
        f'{self.scores[i]:.4g}',
        str(self.slots[i]),
      )
      for i in self._order()
    ]

  def _order(self) -> np.ndarray:
    """The candidates, the lowest p-values first."""
    return np.lexsort((-self.scores, self.p_values))

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
    rows = self._tried()
    tried = [page.Table(TRIED, TRIED_HEADINGS, rows)] if rows else []
    content = page.Page(
      title='Which candidates are in this update',
      verdict=self.verdict,
      pictures=drawn,
      tables=[page.Table('Candidates', HEADINGS, self._rows()), *tried],
      lists=self._lists,
      is_alarm=bool(self.called.any()) or len(self.images) > 0,
    )
    return page.render(content, fragment=fragment)

  def _tried(self) -> list[tuple[str, str]]:
    """The attacks that were tried on simulated tasks, the best first, and their AUC."""
    ranked = sorted(self.power.items(), key=lambda one: -one[1])
    return [(name, f'{value:.2f}') for name, value in ranked]

  @property
  def _lists(self) -> dict[str, list[str]]:
    """Sentences under their titles."""
    return {
      'Warnings': list(self.warnings),
      'What was assumed': list(self.assumptions),
      'Attacks not tried': [f'{name}: {reason}' for name, reason in self.skipped.items()],
    }

  def __str__(self) -> str:
    rows = self._tried()
    tried = f'{TRIED}:\n\n{wording.aligned(TRIED_HEADINGS, rows)}' if rows else ''
    return wording.paragraphs(self.verdict, [self.table, tried], self._lists)

  def __repr__(self) -> str:
    return f'<UpdateReport: {self.called.sum()} of {len(self.scores)} called by {self.attack}>'
