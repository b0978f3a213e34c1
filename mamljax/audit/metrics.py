"""Rates and curves of a membership attack, with confidence intervals.

A trial has a score (higher means 'member'), a truth and the id of the task it was played
on. What the trials cannot express is None, never a guess.
"""

import math
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mamljax.audit.decision import decide, paired


class Rate(NamedTuple):
  """An estimate with a confidence interval, all in [0, 1]."""

  value: float
  low: float
  high: float


class Metrics(NamedTuple):
  """The measures of one attack on the reported trials.

  Attributes:
    accuracy: decisions that are right.
    recall: members that were called members.
    precision: those called members that are.
    auc: area under the ROC curve, with a bootstrap over tasks.
    tpr_at_fpr_1pct: recall at a false-positive rate of at most 1 %.
    tpr_at_fpr_01pct: recall at a false-positive rate of at most 0.1 %.
    threshold: the score above which a trial was decided to be a member.
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
  """Everything that is reported about one cell.

  Args:
    scores: [n] finite numbers, higher means 'member'.
    members: [n] booleans, the truth.
    threshold: from `choose_threshold` on other trials than these.
    tasks: [n] integers, the task of each trial.
    located: [n] booleans, in the global game whether the learner with the highest score is
      the right one. A member that is called one, but another learner's, counts as a wrong
      decision; AUC and TPR ask about membership alone.
    seed: of the bootstrap.

  Returns:
    `Metrics`. The Clopper-Pearson intervals take trials as independent: play one trial a
    task if they are to be exact.

  Raises:
    ValueError: if a score is not finite (it says how many), or the lengths differ.
  """
  scores, members = paired(scores, members)
  called = decide(scores, threshold)
  hit = called & members & np.asarray(located)
  hits = int(np.sum(hit))
  return Metrics(
    accuracy=proportion(int(np.sum(hit | ~(called | members))), members.size),
    recall=proportion(hits, int(members.sum())),
    precision=proportion(hits, int(called.sum())),
    auc=auc_rate(scores, members, tasks, seed=seed),
    tpr_at_fpr_1pct=tpr_at_fpr(scores, members, 0.01),
    tpr_at_fpr_01pct=tpr_at_fpr(scores, members, 0.001),
    threshold=float(threshold),
  )


def proportion(successes: int, total: int, *, confidence: float = 0.95) -> Rate | None:
  """`successes / total` with its exact (Clopper-Pearson) interval; None if `total` is 0.

  The interval covers the true rate with at least the given confidence at every rate and
  total.

  >>> '{:.2f} [{:.2f}, {:.2f}]'.format(*proportion(10, 10))
  '1.00 [0.69, 1.00]'
  """
  if total == 0:
    return None
  interval = stats.binomtest(successes, total).proportion_ci(confidence, method='exact')
  return Rate(successes / total, float(interval.low), float(interval.high))


def auc(scores: ArrayLike, members: ArrayLike) -> float | None:
  """The chance that a member outscores a non-member, ties counting half (Mann-Whitney).

  None if either class is absent.
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

  Trials on one task share its gradient, so tasks are resampled, not trials. They are
  resampled within three strata (tasks that supplied members only, non-members only, or
  both), so no resample lacks a class and the interval is for this mixture of tasks. Above
  an AUC of about 0.98 it covers less than it says (85 to 90 % for 50 of each class).

  Perfect separation leaves nothing to resample, nor do equal scores, or a single task. The
  interval is then the exact one of AUC times k successes in k, where k is the number of
  disjoint pairs of tasks, one with a member and one with a non-member: independent
  comparisons, of which so many were won (where that is no whole number, from what is
  below it to what is above).

  Args:
    scores: [n] finite numbers, higher means 'member'.
    members: [n] booleans, the truth.
    tasks: [n] integers, the task of each trial.
    seed: fixes the resamples, and so the interval.
    resamples: how many.
    confidence: of the interval.

  Returns:
    The rate, or None if either class is absent.

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
  exact = _exact(value, int(min(has_member.sum(), has_other.sum(), ids.size // 2)), confidence)
  if value in (0, 1):
    return exact
  kind = has_member + 2 * has_other
  strata = [np.flatnonzero(kind == k) for k in np.unique(kind)]
  ranks, random = _ranks(scores), np.random.default_rng(seed)
  values = np.empty(resamples)
  for i in range(resamples):
    drawn = np.concatenate([random.choice(stratum, stratum.size) for stratum in strata])
    weights = np.bincount(drawn, minlength=ids.size)[task]
    values[i] = _weighted_auc(weights, members, *ranks)
  low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
  return Rate(value, float(low), float(high)) if values.min() < values.max() else exact


def tpr_at_fpr(scores: ArrayLike, members: ArrayLike, fpr: float) -> float | None:
  """The highest true-positive rate of any threshold whose false-positive rate is <= `fpr`.

  None where the trials cannot express it: without members, or with fewer than 1 / `fpr`
  non-members (0.1 % needs 1,000).

  >>> tpr_at_fpr([0.9, 0.4, 0.5, 0.1], [True, True, False, False], fpr=0.5)
  1.0
  """
  scores, members = paired(scores, members)
  others = np.sort(scores[~members])[::-1]
  # k / n, not n * fpr: the rounded quotient 63 / 180 is 0.35, but 180 * 0.35 < 63.
  allowed = int(np.sum(np.arange(1, others.size + 1) / max(others.size, 1) <= fpr))
  if not members.any() or not allowed:
    return None
  threshold = others[allowed] if allowed < others.size else -np.inf
  return float(np.mean(scores[members] > threshold))


def roc(scores: ArrayLike, members: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """The ROC curve: rising false-positive rates and the true-positive rate at each.

  The rates of 'member' above each distinct score, from the highest down, and of always
  'member': one more point than there are distinct scores, from (0, 0) to (1, 1).

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


def _exact(value: float, pairs: int, confidence: float) -> Rate:
  """A share of independent pairs with its exact interval; without a pair, as if of one."""
  won, pairs = value * max(pairs, 1), max(pairs, 1)
  ends = (
    proportion(round_(won), pairs, confidence=confidence) for round_ in (math.floor, math.ceil)
  )
  low, high = (cast(Rate, end) for end in ends)
  return Rate(value, low.low, high.high)


def _ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The rising order of the scores; in that order, how many are below and at most each."""
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
  """The AUC of trials that each stand in `weights` times."""
  weights, members = weights[order], members[order]
  others = np.concatenate([[0.0], np.cumsum(weights * ~members)])
  wins = (weights * members) @ (others[below] + others[at_most]) / 2
  return float(wins / ((weights @ members) * others[-1]))
