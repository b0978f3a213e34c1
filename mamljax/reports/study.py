"""Study of defences: what each guarantees, what attacks find in spite of it, what it costs."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mamljax.errors import unknown
from mamljax.reports import advice, wording
from mamljax.reports.advice import Bounds, Recommendation
from mamljax.reports.defended import HEADINGS, DefenceRow
from mamljax.reports.report import Report

if TYPE_CHECKING:
  import pandas as pd


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Study:
  """Defences side by side, that of no defence first.

  Attributes:
    rows: the measures of each defence.
    reports: by the name of a defence the report of its audit; those that could not be attacked
      have none.
    asked: the sizes of the study: ways, shots, target, trials, rounds, delta and the like.
  """

  rows: tuple[DefenceRow, ...]
  reports: Mapping[str, Report]
  asked: dict[str, Any]

  def recommend(
    self,
    *,
    epsilon: float | None = None,
    rounds: int | None = None,
    max_tpr: float | None = None,
    max_accuracy_loss: float | None = None,
  ) -> Recommendation:
    """The defence that holds all bounds at the least loss of accuracy, or none.

    A defence holds a bound only by the unfavourable end of the interval, and what was not
    measured does not hold. A bound on attacks needs one that models the defence. Wherever
    learning is measured, it must be above chance, its interval included.

    Args:
      epsilon: greatest epsilon that it may guarantee, at the delta of the study, where a task
        is replaced by another; None for no such bound, as below.
      rounds: the messages of one task that the guarantee is for; by default the study's.
      max_tpr: greatest true-positive rate that any attack on one update may have at a
        false-positive rate of 1 %, from 0 to 1.
      max_accuracy_loss: greatest accuracy of learning that it may cost, from 0 to 1.

    Returns:
      The recommendation; its `defence` is None for none of these.

    Raises:
      InputError: if a bound is none of the above, or there is none.
    """
    bounds = Bounds(
      epsilon,
      self.asked['delta'],
      self.asked['rounds'] if rounds is None else rounds,
      max_tpr,
      max_accuracy_loss,
      chance=1 / self.asked['ways'],
    )
    advice.check(bounds)
    return advice.recommend(self.rows, bounds)

  def row(self, name: str) -> DefenceRow:
    """The measures of a defence.

    Raises:
      InputError: if there is none of that name.
    """
    for row in self.rows:
      if row.name == name:
        return row
    raise unknown('defence', name, [row.name for row in self.rows])

  @property
  def verdict(self) -> str:
    """The subject of the study, and how to read it, in sentences."""
    asked = self.asked
    defences = f'{len(self.rows) - 1} defence{"s" * (len(self.rows) != 2)}'
    rounds = f'{asked["rounds"]} round{"s" * (asked["rounds"] != 1)}'
    return (
      f'{defences} of {asked["ways"]}-way {asked["shots"]}-shot tasks, whose {asked["target"]} '
      f'set is sought in one update. A guarantee is differential privacy of the whole task '
      f'over {rounds}, at delta {asked["delta"]:g}, where a task is replaced by another: its '
      f'epsilon is the first of the table. The second is what the worst attack shows. Where '
      f'there is no guarantee, an attack that was not played may find more.'
    )

  @property
  def table(self) -> str:
    """A line for each defence, as aligned text."""
    return wording.aligned(HEADINGS, [row.cells for row in self.rows])

  def to_frame(self) -> 'pd.DataFrame':
    """A pandas data frame with a row for each defence."""
    import pandas as pd

    return pd.DataFrame([row.flat for row in self.rows])

  def to_dict(self) -> dict[str, Any]:
    """The study as numbers, texts, lists and dictionaries, the reports included."""
    return {
      'defences': [row.flat | _listed(row) for row in self.rows],
      'asked': self.asked,
      'reports': {name: report.to_dict() for name, report in self.reports.items()},
    }

  def to_json(self) -> str:
    """The study as JSON, scores included."""
    return json.dumps(self.to_dict(), indent=1)

  @property
  def _lists(self) -> dict[str, Sequence[str]]:
    """Sentences under their titles."""
    blind = {row.name: row.worst.blind for row in self.rows if row.defence and row.worst}
    return {
      'Attacks that do not model the defence': [
        f'{name}: {", ".join(attacks)}' for name, attacks in blind.items() if attacks
      ],
      'Not attacked': [f'{row.name}: {row.failure}' for row in self.rows if row.failure],
      'Warnings': [
        text if len(names) == len(self.rows) else f'{", ".join(names)}: {text}'
        for text, names in _grouped(self.rows).items()
      ],
    }

  def __str__(self) -> str:
    return wording.paragraphs(self.verdict, [self.table], self._lists)

  def __repr__(self) -> str:
    return f'<Study of {len(self.rows)} defences: {", ".join(row.name for row in self.rows)}>'


def _grouped(rows: Sequence[DefenceRow]) -> dict[str, list[str]]:
  """The warnings, each with the names of the defences that it is about."""
  texts = dict.fromkeys(text for row in rows for text in row.warnings)
  return {text: [row.name for row in rows if text in row.warnings] for text in texts}


def _listed(row: DefenceRow) -> dict[str, list[str]]:
  """Lists of a row, for which columns have no room."""
  informed, blind = (row.worst.informed, row.worst.blind) if row.worst else ((), ())
  return {'informed': [*informed], 'blind': [*blind], 'warnings': [*row.warnings]}
