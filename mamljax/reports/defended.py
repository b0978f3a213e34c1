"""Measures of one defence: its guarantee, the worst attack on it, and what it costs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mamljax.audit import certainty
from mamljax.audit.metrics import Rate
from mamljax.defences import Defence
from mamljax.reports import choice, declared, wording
from mamljax.reports.measures import AttackRow
from mamljax.reports.report import Report

HEADINGS = (
  'defence', 'epsilon <=', 'worst attack', 'accuracy', '95 %', 'TPR at 1 % FPR', 'epsilon >=',
  'learns', 'loses',
)  # fmt: skip


class Worst(NamedTuple):
  """The most that the attacks on one update find.

  Attributes:
    attack: name of the attack with the most right decisions.
    accuracy: its accuracy, with the interval of the best of all attacks.
    epsilon: lower bound of epsilon that this attack shows, for the exchange of one image.
    tpr_at_fpr_1pct: the greatest true-positive rate of all attacks at a false-positive rate of
      at most 1 %, with the interval of the greatest; None below 200 trials.
    tpr_attack: name of the attack with the greatest upper end of it; '' if it is None.
    informed: names of the attacks that model the defence.
    blind: names of those that do not, and of those that do not look at what is sent.
  """

  attack: str
  accuracy: Rate
  epsilon: float
  tpr_at_fpr_1pct: Rate | None
  tpr_attack: str
  informed: tuple[str, ...]
  blind: tuple[str, ...]


class Floor(NamedTuple):
  """Accuracies that learning must exceed to be shown.

  Attributes:
    chance: of guessing a class.
    untrained: of the model before any training, with its interval; None if not known.
  """

  chance: float
  untrained: Rate | None = None

  @property
  def level(self) -> float:
    """The greater of the two, by the upper end of its interval."""
    return max(self.chance, self.untrained.high if self.untrained else 0.0)

  @property
  def told(self) -> str:
    """The two in words."""
    more = f', no training {wording.plain(self.untrained)}' if self.untrained else ''
    return f'guessing has {self.chance:.2f}{more}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenceRow:
  """Measures of one defence.

  Attributes:
    name: the name of the defence.
    defence: the defence; None for no defence.
    epsilon: the epsilon that it guarantees where a task is replaced by another; None if it
      guarantees nothing for a whole task.
    narrower: the epsilons that it guarantees for less than a task, by what is replaced by
      another, such as 'query example'.
    worst: the most that attacks find; None if none could be played.
    failure: the reason why none could; '' if one was.
    reconstruction: accuracy of the paper's attack, with its own interval; None if not played.
    learning: accuracy of learning under the defence, with its interval; None if not measured.
    loss: accuracy of learning without a defence less that under this one, which may be below
      0; None if not measured. Its ends are the differences of the opposite ends of the two
      intervals, so that the interval is wide rather than narrow.
    warnings: what may make the leak greater than is reported.
  """

  name: str
  defence: Defence | None
  epsilon: float | None = None
  narrower: Mapping[str, float] = dataclasses.field(default_factory=dict)
  worst: Worst | None = None
  failure: str = ''
  reconstruction: Rate | None = None
  learning: Rate | None = None
  loss: Rate | None = None
  warnings: tuple[str, ...] = ()

  def learns(self, floor: Floor) -> bool:
    """Tests whether learning is shown to exceed guessing, and no training."""
    return self.learning is not None and self.learning.low > floor.level

  @property
  def guarantee(self) -> str:
    """The epsilons that are guaranteed, in words: '8', '2 (query example)' or 'none'."""
    whole = [] if self.epsilon is None else [wording.at_most(self.epsilon)]
    parts = [f'{wording.at_most(e)} ({name})' for name, e in self.narrower.items()]
    return ', '.join(whole + parts) or 'none'

  @property
  def cells(self) -> tuple[str, ...]:
    """The entries under `HEADINGS`."""
    worst = (wording.UNRESOLVED,) * 5 if self.worst is None else _attacked(self.worst)
    return (self.name, self.guarantee, *worst, *map(wording.plain, (self.learning, self.loss)))

  @property
  def flat(self) -> dict[str, Any]:
    """The measures in columns: a rate becomes `x`, `x_low` and `x_high`."""
    worst = self.worst
    columns: dict[str, Any] = {
      'defence': self.name,
      'hooks': declared.describe_hooks(self.defence) if self.defence else '',
      'guaranteed_epsilon': self.epsilon,
      'guarantee': self.guarantee,
      'worst_attack': worst and worst.attack,
      'shown_epsilon': worst and worst.epsilon,
      'tpr_attack': worst and worst.tpr_attack,
      'failure': self.failure,
    }
    rates = {
      'accuracy': worst and worst.accuracy,
      'reconstruction': self.reconstruction,
      'tpr_at_fpr_1pct': worst and worst.tpr_at_fpr_1pct,
      'learning': self.learning,
      'loss': self.loss,
    }
    return columns | wording.spread(rates)


def _attacked(worst: Worst) -> tuple[str, ...]:
  """The entries of the worst attack."""
  return (
    worst.attack + ' (blind)' * (worst.attack in worst.blind),
    f'{100 * worst.accuracy.value:.1f} %',
    wording.interval(worst.accuracy),
    wording.plain(worst.tpr_at_fpr_1pct),
    f'{worst.epsilon:.2f}',
  )


def worst_of(report: Report) -> Worst:
  """The most that the attacks of a report find."""
  tpr, attack = _greatest_tpr(report.attacks)
  unseeing = {choice.DEFENCE, choice.BLIND}
  blind = tuple(row.attack for row in report.attacks if unseeing & {*row.notes})
  return Worst(
    attack=report.worst.attack,
    accuracy=report.worst.accuracy,
    epsilon=report.worst.epsilon,
    tpr_at_fpr_1pct=tpr,
    tpr_attack=attack,
    informed=tuple(row.attack for row in report.attacks if row.attack not in blind),
    blind=blind,
  )


def accuracy_of(report: Report, attack: str) -> Rate | None:
  """The accuracy of one attack of a report; None if it was not played."""
  return next((row.accuracy for row in report.attacks if row.attack == attack), None)


def _greatest_tpr(rows: Sequence[AttackRow]) -> tuple[Rate | None, str]:
  """The greatest true-positive rate at 1 % of false ones, and who has its upper end.

  As that of `certainty.best_rate`, its interval allows for the choice: each lower end is at a
  share of the risk, each upper end at the whole.
  """
  whole = {row.attack: row.tpr_at_fpr_1pct for row in rows}
  known = {name: rate for name, rate in whole.items() if rate is not None}
  if not known:
    return None, ''
  share = 1 - (1 - certainty.CONFIDENCE) / (len(rows) * rows[0].looks)
  strict = (certainty.tpr_rate(row.scores, row.members, 0.01, confidence=share) for row in rows)
  attack = max(known, key=lambda name: (known[name].high, known[name].value))
  value = max(rate.value for rate in known.values())
  return Rate(value, max(rate.low for rate in strict if rate), known[attack].high), attack


def loss_of(undefended: Rate | None, defended: Rate | None) -> Rate | None:
  """The accuracy that a defence costs; None if either is not measured.

  >>> '{:.1f} [{:.1f}, {:.1f}]'.format(*loss_of(Rate(0.9, 0.8, 1), Rate(0.7, 0.6, 0.8)))
  '0.2 [0.0, 0.4]'
  """
  if undefended is None or defended is None:
    return None
  (value, low, high), other = undefended, defended
  return Rate(value - other.value, low - other.high, high - other.low)
