"""Exact confidence statements about attacks: true-positive rates, epsilon, the best of several.

All rest on binomial counts (Clopper and Pearson, 1934) and on order statistics, so that they
cover with at least the confidence that they state, for any distribution of scores and any
number of trials.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mamljax.audit.decision import choose_threshold, finite, paired
from mamljax.audit.metrics import Rate, tpr_at_fpr
from mamljax.defences.accounting import epsilon_of

CONFIDENCE = 0.95
_SURE = 2.0  # standard deviations by which a chosen threshold must beat a known one


class Threshold(NamedTuple):
  """A decision threshold.

  Attributes:
    value: the score above which the decision is 'member'.
    is_known: False if calibration trials chose it.
  """

  value: float
  is_known: bool


def lower_bound(successes: ArrayLike, total: ArrayLike, risk: float) -> np.ndarray:
  """Lower ends of one-sided Clopper-Pearson intervals, wrong with a probability <= `risk`."""
  successes, total = np.asarray(successes), np.asarray(total)
  ends = scipy.stats.beta.ppf(risk, np.maximum(successes, 1), total - successes + 1)
  return np.where(successes > 0, ends, 0.0)


def upper_bound(successes: ArrayLike, total: ArrayLike, risk: float) -> np.ndarray:
  """Upper ends of one-sided Clopper-Pearson intervals, wrong with a probability <= `risk`."""
  successes, total = np.asarray(successes), np.asarray(total)
  ends = scipy.stats.beta.ppf(1 - risk, successes + 1, np.maximum(total - successes, 1))
  return np.where(successes < total, ends, 1.0)


def best_rate(
  right: Sequence[int], total: ArrayLike, *, confidence: float = CONFIDENCE
) -> Rate:
  """The accuracy of the best of several attacks, on the same trials or on more of the same.

  The interval is for the greatest of the attacks' true accuracies, and allows for the choice of
  the best on the trials that it is reported on. Its lower end is the greatest of the attacks'
  lower bounds, each at a share of the risk (Bonferroni); its upper end the greatest of their
  upper bounds, each at the whole risk: to miss the greatest accuracy from below, the bound of
  the very attack that has it must.

  Args:
    right: the right decisions of each attack, one number at least.
    total: the trials, of all or of each.
    confidence: probability with which the interval covers, at least.

  >>> '{:.3f} [{:.3f}, {:.3f}]'.format(*best_rate([60, 50, 55], 100))
  '0.600 [0.476, 0.697]'
  """
  risk, counts = (1 - confidence) / 2, np.asarray(right)
  low = lower_bound(counts, total, risk / counts.size).max()
  high = upper_bound(counts, total, risk).max()
  return Rate(float((counts / np.asarray(total)).max()), float(low), float(high))


def tpr_rate(
  scores: ArrayLike, members: ArrayLike, fpr: float, *, confidence: float = CONFIDENCE
) -> Rate | None:
  """The true-positive rate at a false-positive rate of at most `fpr`, with an interval.

  The interval allows for the uncertainty of the threshold: of m non-members the j-th highest
  score is exceeded with a probability of Beta(j, m + 1 - j). Where no score surely has a
  false-positive rate below `fpr`, as of fewer than 437 non-members at 1 %, its lower end is 0.

  Returns:
    The rate; None where the trials do not resolve it, as `metrics.tpr_at_fpr` says.
  """
  value = tpr_at_fpr(scores, members, fpr)
  if value is None:
    return None
  scores, members = paired(scores, members)
  own, others = scores[members], np.sort(scores[~members])[::-1]
  risk, order = (1 - confidence) / 4, np.arange(1, others.size + 1)
  above = scipy.stats.beta(order, others.size + 1 - order)
  strict, loose = above.cdf(fpr) >= 1 - risk, above.sf(fpr) >= 1 - risk
  low, high = 0.0, 1.0
  if strict.any():
    threshold = others[np.flatnonzero(strict)[-1]]
    low = float(lower_bound(np.sum(own > threshold), own.size, risk))
  if loose.any():
    threshold = others[np.argmax(loose)]
    high = float(upper_bound(np.sum(own >= threshold), own.size, risk))
  return Rate(value, min(low, value), max(high, value))


def calibrated_threshold(
  scores: ArrayLike, members: ArrayLike, *, known: float | None
) -> Threshold:
  """The threshold for decisions on other trials, from calibration trials.

  A threshold that is known beforehand stays, unless the one that calibration trials choose is
  clearly more accurate on them: it is off where the learner is not what the attack assumes,
  and would then hide what the scores tell.

  Args:
    scores: [n] of calibration trials.
    members: [n] booleans, the truth.
    known: the threshold that an attack knows beforehand, if it does.
  """
  chosen = choose_threshold(scores, members)
  if known is None:
    return Threshold(chosen, is_known=False)
  scores, members = paired(scores, members)
  with_known, with_chosen = ((scores > cut) == members for cut in (known, chosen))
  gained, lost = np.sum(with_chosen & ~with_known), np.sum(with_known & ~with_chosen)
  if gained - lost > _SURE * np.sqrt(gained + lost):
    return Threshold(chosen, is_known=False)
  return Threshold(known, is_known=True)


class _Event(NamedTuple):
  """An event by which members and non-members are compared: a side of a threshold.

  Attributes:
    threshold: the score that parts the two sides.
    is_above: whether scores above it are meant.
    of_members: whether the event is the more probable for members.
  """

  threshold: float
  is_above: bool
  of_members: bool


def empirical_epsilon(
  calibration: tuple[ArrayLike, ArrayLike],
  reported: tuple[ArrayLike, ArrayLike],
  *,
  delta: float = 0.0,
  is_gaussian: bool = False,
  confidence: float = CONFIDENCE,
) -> float:
  """Lower bound of epsilon of differential privacy, by an attack (Jagielski et al., 2020).

  With (epsilon, delta)-differential privacy with respect to the exchange of one image, no event
  is more than exp(epsilon) times as probable with the member as without, and delta more. Under
  Gaussian noise on what is sent no two probabilities are further apart than those of two
  Gaussians, whose distance mu they bound, and with it epsilon at any delta (Nasr et al., 2023).
  Calibration trials choose the event, scores on one side of a threshold; its two probabilities
  are bounded on others.

  Args:
    calibration: scores and truths of calibration trials.
    reported: scores and truths of the trials that the bound is computed on.
    delta: 0 or more; above 0 where `is_gaussian`.
    is_gaussian: whether what was attacked was sent under Gaussian noise. The bound is then one
      of epsilon as Gaussian differential privacy has it, and holds for no other mechanism.
    confidence: probability that the bound holds, at least.

  Returns:
    The bound; 0 where the trials show nothing.
  """
  risk = (1 - confidence) / 2
  event = _choose_event(*paired(*calibration), risk, delta, is_gaussian)
  scores, members = paired(*reported)
  happened = (scores > event.threshold) == event.is_above
  more, less = (members, ~members) if event.of_members else (~members, members)
  low = lower_bound(np.sum(happened & more), more.sum(), risk)
  high = upper_bound(np.sum(happened & less), less.sum(), risk)
  shown = float(_shown(low, high, delta, is_gaussian))
  if shown <= 0:
    return 0.0
  return epsilon_of(shown, delta=delta) if is_gaussian else shown


def _shown(low: np.ndarray, high: np.ndarray, delta: float, is_gaussian: bool) -> np.ndarray:
  """The bound of epsilon that two probabilities show, or that of mu; below 0 if none.

  Args:
    low: lower bounds of an event's probability with what makes it the more probable.
    high: upper bounds of its probability without.
    delta: as in `empirical_epsilon`.
    is_gaussian: as in `empirical_epsilon`.
  """
  if is_gaussian:
    return scipy.special.ndtri(low) - scipy.special.ndtri(high)
  return np.log(np.maximum(low - delta, np.finfo(float).tiny)) - np.log(high)


def _choose_event(
  scores: np.ndarray, members: np.ndarray, risk: float, delta: float, is_gaussian: bool
) -> _Event:
  """The event with the greatest bound on calibration trials."""
  cuts = np.unique(scores)
  kinds = [np.sort(scores[kind]) for kind in (~members, members)]
  total = np.array([[len(kind)] for kind in kinds])
  above = total - [np.searchsorted(kind, cuts, side='right') for kind in kinds]
  shown = {}
  for is_above, of_members in itertools.product((True, False), repeat=2):
    counts = above if is_above else total - above
    more, less = int(of_members), int(not of_members)
    low = lower_bound(counts[more], total[more], risk)
    high = upper_bound(counts[less], total[less], risk)
    shown[is_above, of_members] = _shown(low, high, delta, is_gaussian)
  best = max(shown, key=lambda side: shown[side].max())
  return _Event(float(cuts[shown[best].argmax()]), *best)


def ranks_apart(scores: ArrayLike, members: ArrayLike) -> float:
  """The p-value of a two-sided Mann-Whitney test of members' and non-members' scores."""
  scores, members = finite(scores), np.asarray(members, bool)
  return float(scipy.stats.mannwhitneyu(scores[members], scores[~members]).pvalue)
