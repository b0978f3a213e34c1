"""Study of defences: what each guarantees, what attacks find in spite of it, what it costs."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mamljax.audit.metrics import Rate
from mamljax.errors import unknown
from mamljax.reports import advice, pareto, wording
from mamljax.reports.advice import Bounds, Recommendation
from mamljax.reports.defended import HEADINGS, DefenceRow, Floor
from mamljax.reports.report import Report
from mamljax.reports.writing import Written

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Study(Written):
  """Defences side by side, that of no defence first.

  Attributes:
    rows: the measures of each defence.
    reports: by the name of a defence the report of its audit; those that could not be attacked
      have none.
    asked: the sizes of the study: ways, shots, target, trials, rounds, delta and the like.
    untrained: accuracy of learning before any training, with its interval; None if not known.
  """

  rows: tuple[DefenceRow, ...]
  reports: Mapping[str, Report]
  asked: dict[str, Any]
  untrained: Rate | None = None

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
    learning is measured, it must be above chance, its interval included, and above that of the
    model before any training where that is known: under a noise that drowns all it is no less.

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
      floor=self.floor,
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
  def finding(self) -> str:
    """A sentence on which defences protect and learn, if any: see `pareto.title`."""
    return f'{pareto.title(self.rows, floor=self.floor)}.'

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
      f'epsilon is the first of the table, with a word in brackets where less than a task is '
      f'protected. The second is what the worst attack shows. Where there is no guarantee, an '
      f'attack that was not played may find more.'
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
      'untrained': self.untrained,
      'reports': {name: report.to_dict() for name, report in self.reports.items()},
    }

  def to_json(self) -> str:
    """The study as JSON, scores included."""
    return json.dumps(self.to_dict(), indent=1)

  def to_html(self, *, advice: Recommendation | None = None, fragment: bool = False) -> str:
    """The study as one self-contained HTML page, or as a fragment of one, for notebooks.

    Args:
      advice: from `recommend`, which the page then begins with.
      fragment: without the frame of a page.
    """
    from mamljax.reports import page

    told = {} if advice is None else _advised(advice, self.rows)
    pictures = {}
    if pareto.drawable(self.rows[1:]):
      picture = pareto.svg(self.rows, floor=self.floor, held=_held(advice))
      pictures = {f'{self.finding} {pareto.CAPTION}': picture}
    content = page.Page(
      title='Which defence to choose',
      verdict=f'{advice.answer} {self.finding}' if advice else self.finding,
      pictures=pictures,
      tables=[page.Table('Defences', HEADINGS, [row.cells for row in self.rows])],
      lists={**told, 'How to read it': [self.verdict], **self._lists},
      is_alarm=advice is None or advice.name is None,
    )
    return page.render(content, fragment=fragment)

  def plot(self, *, advice: Recommendation | None = None, axes: 'Axes | None' = None) -> 'Axes':
    """Draws the worst attack on each defence against the accuracy of learning under it.

    The title says whether any defence protects and learns: `pareto.title` says what that is.
    Defences that were not attacked, or under which no learning was measured, are left out.

    Args:
      advice: from `recommend`; the defences that hold all its bounds are ringed.
      axes: matplotlib's axes to draw on; those of a new figure if None.

    Returns:
      The axes.
    """
    return pareto.plot(self.rows, floor=self.floor, held=_held(advice), axes=axes)

  @property
  def floor(self) -> Floor:
    """The accuracies that learning must exceed."""
    return Floor(1 / self.asked['ways'], self.untrained)

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


def _held(advice: Recommendation | None) -> list[str]:
  """The names of all that hold the bounds of an advice."""
  return [name for name, missed in advice.reasons.items() if not missed] if advice else []


def _advised(advice: Recommendation, rows: Sequence[DefenceRow]) -> dict[str, Sequence[str]]:
  """An advice beyond its answer and the warnings of rows: sentences under their titles."""
  return {
    'What was asked': advice.asked,
    'What does not hold it': advice.missed,
    'Beyond what was measured': [
      text for text in advice.warnings if not any(text in row.warnings for row in rows)
    ],
  }


def _grouped(rows: Sequence[DefenceRow]) -> dict[str, list[str]]:
  """The warnings, each with the names of the defences that it is about."""
  texts = dict.fromkeys(text for row in rows for text in row.warnings)
  return {text: [row.name for row in rows if text in row.warnings] for text in texts}


def _listed(row: DefenceRow) -> dict[str, list[str]]:
  """Lists of a row, for which columns have no room."""
  informed, blind = (row.worst.informed, row.worst.blind) if row.worst else ((), ())
  return {'informed': [*informed], 'blind': [*blind], 'warnings': [*row.warnings]}
