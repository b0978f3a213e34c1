"""Rates and curves of a membership attack, with confidence intervals.

A trial has a score (higher means 'member'), a truth and the number of its task. A measure that
the trials do not determine is None, never a guess.
"""

import math
from typing import NamedTuple, cast

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mamljax.audit.decision import decide, paired


class Rate(NamedTuple):
  """An estimate with a confidence interval, all in [0, 1]."""

  value: float
  low: float
  high: float


class Metrics(NamedTuple):
  """The measures of an attack on the reported trials; None where these do not determine one.

  Attributes:
    accuracy: the share of right decisions.
    recall: the share of members that were decided to be members.
    precision: the share of members among trials decided to be members.
    auc: the area under the ROC curve, with an interval from a bootstrap over tasks.
    tpr_at_fpr_1pct: the true-positive rate at a false-positive rate of at most 1 %.
    tpr_at_fpr_01pct: the true-positive rate at a false-positive rate of at most 0.1 %.
    threshold: the score above which the decision is 'member'.
  """

  accuracy: Rate | None
  recall: Rate | None
  precision: Rate | None
  auc: Rate | None
  tpr_at_fpr_1pct: float | None
  tpr_at_fpr_01pct: float | None
  threshold: float


def evaluate(
  scores: ArrayLike,
  members: ArrayLike,
  *,
  threshold: float,
  tasks: ArrayLike,
  located: ArrayLike = True,
  seed: int = 0,
) -> Metrics:
  """The metrics of an attack on the trials of one cell.

  Args:
    scores: [n] finite numbers, higher means 'member'.
    members: [n] booleans, the truth.
    threshold: the decision threshold, from `choose_threshold` on separate trials.
    tasks: [n] integers, the task of each trial.
    located: [n] booleans, in the global game True where the learner with the highest score is
      the member's. A member that is assigned to another learner counts as a wrong decision;
      AUC and true-positive rates are about membership alone.
    seed: seed of the bootstrap.

  Returns:
    The metrics. Their Clopper-Pearson intervals assume independent trials, and are exact if
    each task has one trial.

  Raises:
    ValueError: if a score is not finite, or the lengths differ.
  """
  scores, members = paired(scores, members)
  called = decide(scores, threshold)
  hit = called & members & np.asarray(located)
  rejected = ~called & ~members
  hits = int(np.sum(hit))
  return Metrics(
    accuracy=proportion(int(np.sum(hit | rejected)), members.size),
    recall=proportion(hits, int(members.sum())),
    precision=proportion(hits, int(called.sum())),
    auc=auc_rate(scores, members, tasks, seed=seed),
    tpr_at_fpr_1pct=tpr_at_fpr(scores, members, 0.01),
    tpr_at_fpr_01pct=tpr_at_fpr(scores, members, 0.001),
    threshold=float(threshold),
  )


def proportion(successes: int, total: int, *, confidence: float = 0.95) -> Rate | None:
  """The rate `successes / total` with its Clopper-Pearson interval; None if `total` is 0.

  The interval covers the true rate with at least the given confidence, whatever the rate and
  the total.

  >>> '{:.2f} [{:.2f}, {:.2f}]'.format(*proportion(10, 10))
  '1.00 [0.69, 1.00]'
  """
  if total == 0:
    return None
  interval = scipy.stats.binomtest(successes, total).proportion_ci(confidence, method='exact')
  return Rate(successes / total, float(interval.low), float(interval.high))


def share(value: float, total: int, *, confidence: float = 0.95) -> Rate:
  """The mean of `total` independent numbers in [0, 1], with the interval of a proportion.

  Where `total` times the mean is no whole number, the interval reaches from the lower end for
  the whole number below to the upper end for the one above. Numbers other than 0 and 1 vary
  less than decisions do, so that the interval is then wide rather than narrow.

  >>> '{:.3f} [{:.2f}, {:.2f}]'.format(*share(0.505, 100))
  '0.505 [0.40, 0.61]'
  """
  below, above = math.floor(value * total), math.ceil(value * total)
  low, high = (
    cast(Rate, proportion(won, total, confidence=confidence)) for won in (below, above)
  )
  return Rate(value, low.low, high.high)


def auc(scores: ArrayLike, members: ArrayLike) -> float | None:
  """The probability that a member outscores a non-member, ties counted half (Mann-Whitney).

  None without members or without non-members.
  """
  scores, members = paired(scores, members)
  if not members.any() or members.all():
    return None
  return _weighted_auc(np.ones(scores.size), members, *_ranks(scores))


def auc_rate(
  scores: ArrayLike,
  members: ArrayLike,
  tasks: ArrayLike,
  *,
  seed: int,
  resamples: int = 2000,
  confidence: float = 0.95,
) -> Rate | None:
  """The AUC with a percentile bootstrap interval over tasks.

  Trials on one task share its gradient, so that tasks are resampled, not trials. They are
  resampled within three strata (tasks with members only, with non-members only, or with
  both): no resample lacks members or non-members, and the interval is for this mixture of
  tasks. Above an AUC of about 0.98 its coverage is too low (85 to 90 % for 50 members and 50
  non-members).

  With perfect separation, equal scores or a single task all resamples have the same AUC. The
  interval is then that of a proportion of k independent comparisons, where k is the number of
  disjoint pairs of tasks, one with a member and one with a non-member, and AUC times k of them
  count as won. Where that is no whole number, the interval reaches from the lower end for the
  whole number below to the upper end for the one above.

  Args:
    scores: [n] finite numbers, higher means 'member'.
    members: [n] booleans, the truth.
    tasks: [n] integers, the task of each trial.
    seed: seed of the resamples.
    resamples: number of resamples.
    confidence: coverage probability of the interval.

  Returns:
    The rate, or None without members or without non-members.

  Raises:
    ValueError: if a score is not finite, or the lengths differ.
  """
  scores, members = paired(scores, members)
  value = auc(scores, members)
  if value is None:
    return None
  ids, task = np.unique(tasks, return_inverse=True)
  has_member = np.bincount(task, members, minlength=ids.size) > 0
  has_other = np.bincount(task, ~members, minlength=ids.size) > 0
  # Disjoint pairs; a task that has both kinds can supply either.
  pairs = int(min(has_member.sum(), has_other.sum(), ids.size // 2))
  exact = share(value, max(pairs, 1), confidence=confidence)
  if value in (0, 1):
    return exact
  stratum_of = has_member + 2 * has_other
  strata = [np.flatnonzero(stratum_of == s) for s in np.unique(stratum_of)]
  ranks, random = _ranks(scores), np.random.default_rng(seed)
  values = np.empty(resamples)
  for i in range(resamples):
    drawn = np.concatenate([random.choice(stratum, stratum.size) for stratum in strata])
    weights = np.bincount(drawn, minlength=ids.size)[task]
    values[i] = _weighted_auc(weights, members, *ranks)
  low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
  return Rate(value, float(low), float(high)) if values.min() < values.max() else exact


def tpr_at_fpr(scores: ArrayLike, members: ArrayLike, fpr: float) -> float | None:
  """The highest true-positive rate of all thresholds with a false-positive rate <= `fpr`.

  None where the trials do not resolve it: without members, or with fewer than 1 / `fpr`
  non-members (0.1 % needs 1,000).

  >>> tpr_at_fpr([0.9, 0.4, 0.5, 0.1], [True, True, False, False], fpr=0.5)
  1.0
  """
  scores, members = paired(scores, members)
  others = np.sort(scores[~members])[::-1]
  # Quotients are compared, not n * fpr: 63 / 180 rounds to 0.35, but 180 * 0.35 < 63.
  allowed = int(np.sum(np.arange(1, others.size + 1) / max(others.size, 1) <= fpr))
  if not members.any() or not allowed:
    return None
  threshold = others[allowed] if allowed < others.size else -np.inf
  return float(np.mean(scores[members] > threshold))


def roc(scores: ArrayLike, members: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """The ROC curve: rising false-positive rates and the true-positive rate at each.

  Its points belong to the decisions 'member' above each distinct score, from the highest down,
  and 'member' always: one more point than there are distinct scores, from (0, 0) to (1, 1).

  >>> roc([0.9, 0.4, 0.5, 0.1], [True, True, False, False])
  (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
  """
  scores, members = paired(scores, members)
  cuts = np.append(np.unique(scores)[::-1], -np.inf)
  fpr, tpr = (
    1 - np.searchsorted(np.sort(scores[truth]), cuts, side='right') / truth.sum()
    for truth in (~members, members)
  )
  return fpr, tpr


def _ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The rising order of the scores and, in that order, the numbers below and at most each."""
  order = np.argsort(scores)
  rising = scores[order]
  below = np.searchsorted(rising, rising, side='left')
  return order, below, np.searchsorted(rising, rising, side='right')


def _weighted_auc(
  weights: np.ndarray,
  members: np.ndarray,
  order: np.ndarray,
  below: np.ndarray,
  at_most: np.ndarray,
) -> float:
  """The AUC of trials that are counted `weights` times each."""
  weights, members = weights[order], members[order]
  others = np.concatenate([[0.0], np.cumsum(weights * ~members)])
  wins = (weights * members) @ (others[below] + others[at_most]) / 2
  return float(wins / ((weights @ members) * others[-1]))
