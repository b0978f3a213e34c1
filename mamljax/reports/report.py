"""Report of an audit: the strongest attack, all others, and what was assumed."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mamljax.audit import certainty, metrics
from mamljax.defences.accounting import check_delta
from mamljax.errors import InputError
from mamljax.reports import wording
from mamljax.reports.measures import AttackRow, Finding, strongest_epsilon
from mamljax.reports.writing import Written

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Report(Written):
  """Leakage of an update, as measured by every attack that applies.

  Attributes:
    worst: the most accurate attack. The interval of its accuracy is for the
      accuracy of the best of all attacks, and allows for this choice; see
      `measures.strongest`.
    attacks: measures of every attack that was played, the strongest first; each interval is
      for one attack alone.
    skipped: of each attack that was not played the reason.
    late: names of those that were left out for time.
    unasked: names of those that may apply, and were not asked for.
    finding: the answer, in a word.
    assumptions: what was assumed: the learner, the game and the threat model, in sentences.
    warnings: what may make the leak greater than is reported.
    asked: the sizes of the audit: ways, shots, target, trials and the like; where attacks could
      end early, the `interval` that ended them and the numbers of trials of the `looks`.
    is_gaussian: whether what learners sent was under Gaussian noise.
  """

  worst: AttackRow
  attacks: tuple[AttackRow, ...]
  skipped: dict[str, str]
  late: tuple[str, ...]
  unasked: tuple[str, ...]
  finding: Finding
  assumptions: tuple[str, ...]
  warnings: tuple[str, ...]
  asked: dict[str, Any]
  is_gaussian: bool = False

  @property
  def verdict(self) -> str:
    """The answer in a sentence or two."""
    told = wording.verdict(self.finding, self.worst, self.attacks, unasked=self.unasked)
    early = wording.ended_early(self.worst, self.asked) if self.is_counted else ()
    return ' '.join([told, *early, *wording.left_out(self.late)])

  @property
  def table(self) -> str:
    """A line for each attack, the strongest first, as aligned text."""
    return wording.aligned(wording.headings(counted=self.is_counted), self._cells)

  @property
  def is_counted(self) -> bool:
    """Tests whether attacks may have played different numbers of trials."""
    return 'interval' in self.asked

  def roc(self, *, attack: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve of an attack, of the strongest by default: `metrics.roc`.

    Raises:
      InputError: if no such attack was played.
    """
    row = self.row(attack or self.worst.attack)
    return metrics.roc(row.scores, row.members)

  def row(self, attack: str) -> AttackRow:
    """The measures of an attack that was played.

    Raises:
      InputError: if none of that name was.
    """
    return wording.chosen(self.attacks, attack)

  def epsilon(self, *, delta: float, confidence: float = certainty.CONFIDENCE) -> float:
    """Lower bound of epsilon of differential privacy, as shown by the attacks.

    The neighbours are two tasks that differ in one image: a bound for them is one for
    'replace_one' as well. Calibration trials choose the attack and its threshold; the bound is
    computed on the reported trials. Under Gaussian noise on what is sent it goes by the
    trade-off of two Gaussians, which shows far more than one threshold does otherwise.

    Args:
      delta: above 0 and below 1.
      confidence: probability that the bound holds, at least; above 0 and below 1.

    Returns:
      The bound; 0 where the trials show nothing, which is no guarantee.

    Raises:
      InputError: if an argument is none of the above.
    """
    check_delta(delta)
    if not 0 < confidence < 1:
      raise InputError(f'confidence must be above 0 and below 1, not {confidence!r}')
    told: Any = {'is_gaussian': self.is_gaussian, 'confidence': confidence}
    return strongest_epsilon(self.attacks, delta=delta, **told)

  def to_frame(self) -> 'pd.DataFrame':
    """A pandas data frame with a row for each attack, the strongest first."""
    import pandas as pd

    return pd.DataFrame([wording.flat(row, counted=self.is_counted) for row in self.attacks])

  def to_dict(self) -> dict[str, Any]:
    """The report as numbers, texts, lists and dictionaries, scores included."""
    counted: Any = {'counted': self.is_counted}
    return {
      'worst': wording.flat(self.worst, **counted),
      'verdict': self.verdict,
      'finding': self.finding.level,
      'attacks': [
        wording.flat(row, **counted) | {'scores': row.scores.tolist(), 'notes': list(row.notes)}
        for row in self.attacks
      ],
      'members': max((row.members for row in self.attacks), key=len).tolist(),
      'skipped': self.skipped,
      'late': list(self.late),
      'unasked': list(self.unasked),
      'assumptions': list(self.assumptions),
      'warnings': list(self.warnings),
      'asked': self.asked,
    }

  def to_json(self) -> str:
    """The report as JSON; scores are in it, images are not."""
    return json.dumps(self.to_dict(), indent=1)

  def to_html(self, *, fragment: bool = False) -> str:
    """The report as one self-contained HTML page, or as a fragment of one, for notebooks."""
    from mamljax.reports import page, pictures

    names, rates = zip(*((row.attack, row.accuracy) for row in self.attacks), strict=True)
    bars = pictures.bars_svg(names, rates, label='share of right decisions', chance=0.5)
    content = page.Page(
      title=f'How much an update tells of its {self.asked["target"]} set',
      verdict=self.verdict,
      pictures={
        'Right decisions of each attack, with intervals at 95 %; the dots mark guessing.': bars,
        'ROC curves of the strongest attacks, with their AUC.': pictures.roc_svg(self.attacks),
      },
      tables=[page.Table('Attacks', wording.headings(counted=self.is_counted), self._cells)],
      lists=self._lists,
      is_alarm=self.finding.level != 'none',
    )
    return page.render(content, fragment=fragment)

  @property
  def _cells(self) -> list[tuple[str, ...]]:
    """The entries of the table."""
    return [wording.cells(row, counted=self.is_counted) for row in self.attacks]

  @property
  def _lists(self) -> dict[str, list[str]]:
    """Sentences under their titles."""
    skipped = [f'{name}: {reason}' for name, reason in self.skipped.items()]
    return {
      'Warnings': list(self.warnings),
      'Attacks not played': skipped,
      'What was assumed': list(self.assumptions),
    }

  def plot(self, *, axes: 'Axes | None' = None) -> 'Axes':
    """Draws the ROC curve of each attack over a logarithmic axis, and returns the axes.

    Args:
      axes: matplotlib's axes to draw on; those of a new figure if None.
    """
    from mamljax.reports import pictures

    return pictures.plot_roc(self.attacks, axes=axes)

  def __str__(self) -> str:
    return wording.paragraphs(self.verdict, [self.table], self._lists)

  def __repr__(self) -> str:
    low, high = self.worst.accuracy.low, self.worst.accuracy.high
    return (
      f'<Report: {self.worst.attack} decides {self.worst.accuracy.value:.1%} '
      f'[{low:.1%}, {high:.1%}] rightly, {len(self.attacks)} attacks played, '
      f'{len(self.skipped)} skipped' + f', {len(self.late)} for time' * bool(self.late) + '>'
    )
