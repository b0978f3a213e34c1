"""Measures of the attacks of an audit, from their scores on calibration and reported trials."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from mamljax.audit import certainty
from mamljax.audit.decision import decide
from mamljax.audit.metrics import Rate, auc_rate
from mamljax.audit.sequential import shared
from mamljax.audit.trials import is_member

_RESAMPLES = 2000  # of a bootstrap, for each look: their extremes are what it tells


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AttackRow:
  """Measures of one attack, each interval at 95 % for this attack alone.

  Where play could end at one of several looks, every interval and bound allows for all of them,
  see `audit.sequential`.

  Attributes:
    attack: the attack's name.
    accuracy: the share of right decisions, with a Clopper-Pearson interval.
    auc: the area under the ROC curve, with a bootstrap interval.
    tpr_at_fpr_1pct: the true-positive rate at a false-positive rate of at most 1 %, with an
      interval that allows for the threshold's uncertainty; None below 200 trials.
    tpr_at_fpr_01pct: that at 0.1 %; None below 2,000 trials.
    epsilon: lower bound of epsilon, at a confidence of 95 %; 0 where the trials show nothing.
    threshold: the score above which the decision is 'member'.
    threshold_is_known: False if calibration trials chose the threshold.
    has_known_threshold: whether the attack knows a threshold, used or not.
    seconds: the time that the attack took, compilation included.
    notes: what the attack does not model.
    scores: of the reported trials [trials].
    members: the truths [trials].
    calibration: scores of the trials that thresholds were chosen on.
    looks: the number of looks at which play could end.
  """

  attack: str
  accuracy: Rate
  auc: Rate
  tpr_at_fpr_1pct: Rate | None
  tpr_at_fpr_01pct: Rate | None
  epsilon: float
  threshold: float
  threshold_is_known: bool
  has_known_threshold: bool
  seconds: float
  notes: tuple[str, ...] = ()
  scores: np.ndarray = dataclasses.field(repr=False)
  members: np.ndarray = dataclasses.field(repr=False)
  calibration: np.ndarray = dataclasses.field(repr=False)
  looks: int = 1

  @property
  def trials(self) -> int:
    """The number of reported trials."""
    return len(self.scores)

  @property
  def right(self) -> int:
    """The number of right decisions."""
    return int(np.sum(decide(self.scores, self.threshold) == self.members))


class Played(NamedTuple):
  """Scores of an attack, and the time that it took.

  Attributes:
    calibration: of the trials that thresholds are chosen on.
    reported: of other trials.
    seconds: the time.
  """

  calibration: np.ndarray
  reported: np.ndarray
  seconds: float


def measure(
  name: str,
  played: Played,
  *,
  known: float | None,
  notes: Sequence[str],
  seed: int,
  looks: int = 1,
) -> AttackRow:
  """The measures of one attack.

  Args:
    name: the attack's name.
    played: its scores, all finite.
    known: the threshold that it knows beforehand, if it does.
    notes: what it does not model.
    seed: seed of the bootstrap.
    looks: the number of looks at which play could end, which share the risk.
  """
  scores, members = played.reported, is_member(np.arange(len(played.reported)))
  calibration = played.calibration, is_member(np.arange(len(played.calibration)))
  threshold = certainty.calibrated_threshold(*calibration, known=known)
  right = int(np.sum(decide(scores, threshold.value) == members))
  at: Any = {'confidence': shared(certainty.CONFIDENCE, looks)}
  resampled: Any = {'seed': seed, 'resamples': _RESAMPLES * looks}
  return AttackRow(
    attack=name,
    accuracy=certainty.best_rate([right], len(members), **at),
    auc=cast(Rate, auc_rate(scores, members, np.arange(len(members)), **resampled, **at)),
    tpr_at_fpr_1pct=certainty.tpr_rate(scores, members, 0.01, **at),
    tpr_at_fpr_01pct=certainty.tpr_rate(scores, members, 0.001, **at),
    epsilon=certainty.empirical_epsilon(calibration, (scores, members), **at),
    threshold=threshold.value,
    threshold_is_known=threshold.is_known,
    has_known_threshold=known is not None,
    seconds=played.seconds,
    notes=tuple(notes),
    scores=scores,
    members=members,
    calibration=played.calibration,
    looks=looks,
  )


def strongest_epsilon(
  rows: Sequence[AttackRow], *, delta: float, is_gaussian: bool, confidence: float
) -> float:
  """Lower bound of epsilon, by the attack and the event that calibration trials choose."""

  def shown(row: AttackRow, scores: np.ndarray) -> float:
    trials = ((x, is_member(np.arange(len(x)))) for x in (row.calibration, scores))
    options: Any = {'delta': delta, 'is_gaussian': is_gaussian}
    options |= {'confidence': shared(confidence, row.looks)}
    return certainty.empirical_epsilon(*trials, **options)

  best = max(rows, key=lambda row: shown(row, row.calibration))
  return shown(best, best.scores)


def right_decisions(
  calibration: np.ndarray, scores: np.ndarray, *, known: float | None
) -> np.ndarray:
  """Tests of each decision on reported trials, by the threshold of calibration trials, [n]."""
  chosen_on = calibration, is_member(np.arange(len(calibration)))
  threshold = certainty.calibrated_threshold(*chosen_on, known=known)
  return decide(scores, threshold.value) == is_member(np.arange(len(scores)))


def calibration_accuracy(scores: np.ndarray, *, known: float | None) -> float:
  """The accuracy of an attack on calibration trials, with the threshold that it will use."""
  return float(np.mean(right_decisions(scores, scores, known=known)))


def strongest(rows: Sequence[AttackRow]) -> AttackRow:
  """The most accurate attack, with an interval that allows for this choice.

  Among equally accurate attacks the one with the greater AUC is taken. Its accuracy is the
  greatest on the reported trials, so that no attack does better on them than the headline; the
  interval is that of `certainty.best_rate`, for the accuracy of the best of these attacks.
  """
  best = max(rows, key=lambda row: (row.accuracy.value, row.auc.value))
  right, trials = zip(*((row.right, row.trials) for row in rows), strict=True)
  at = shared(certainty.CONFIDENCE, best.looks)
  accuracy = certainty.best_rate(right, trials, confidence=at)
  return dataclasses.replace(best, accuracy=accuracy)


class Finding(NamedTuple):
  """The answer of an audit.

  Attributes:
    level: 'leak' if the accuracy of the best attack is above 1/2 beyond chance, 'trace' if only
      the ranks of scores tell members, 'none' if nothing does.
    attack: the attack that shows it, or the strongest.
  """

  level: str
  attack: str


def find(rows: Sequence[AttackRow], worst: AttackRow) -> Finding:
  """The answer of an audit, at a confidence of 95 % for all attacks together."""
  if worst.accuracy.low > 0.5:
    return Finding('leak', worst.attack)
  tests = [(certainty.ranks_apart(row.scores, row.members), row.attack) for row in rows]
  p_value, attack = min(tests)
  if p_value * len(rows) * worst.looks < 1 - certainty.CONFIDENCE:
    return Finding('trace', attack)
  return Finding('none', worst.attack)
