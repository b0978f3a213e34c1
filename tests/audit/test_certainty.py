"""Confidence statements about attacks hold as often as they say, where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from mamljax.audit.certainty import (
  best_rate,
  calibrated_threshold,
  empirical_epsilon,
  lower_bound,
  ranks_apart,
  tpr_rate,
  upper_bound,
)

TRIALS, REPEATS = 200, 900
MEMBERS = np.arange(TRIALS) % 2 == 0


def covered(hits: list[bool], nominal: float) -> bool:
  """Tests whether so many hits are as many as promised, allowing for three deviations."""
  return np.mean(hits) >= nominal - 3 * np.sqrt(nominal * (1 - nominal) / len(hits))


def null_rates(random: np.random.Generator, *, attacks: int, shared: float) -> list[int]:
  """Right decisions of attacks that know nothing, whose scores are correlated."""
  common = random.normal(size=(2, TRIALS, 1)) * np.sqrt(shared)
  own = random.normal(size=(2, TRIALS, attacks)) * np.sqrt(1 - shared)
  calibration, reported = common + own
  cuts = [calibrated_threshold(part, MEMBERS, known=None).value for part in calibration.T]
  return [
    int(np.sum((part > cut) == MEMBERS)) for part, cut in zip(reported.T, cuts, strict=True)
  ]


@pytest.mark.parametrize('shared', [0.0, 0.9])
def test_the_best_of_attacks_that_know_nothing_is_not_taken_for_one_that_does(shared):
  """The interval of an attack that was chosen on the very trials would be too narrow."""
  random, hits = np.random.default_rng(0), []
  for _ in range(REPEATS // 3):
    rate = best_rate(null_rates(random, attacks=8, shared=shared), TRIALS)
    hits.append(rate.low <= 0.5 <= rate.high)
  assert covered(hits, 0.95)


def test_the_interval_of_one_attack_would_not_do():
  """Else the test above passes whatever the interval allows for."""
  random, hits = np.random.default_rng(0), []
  for _ in range(REPEATS // 3):
    best = max(null_rates(random, attacks=8, shared=0.0))
    hits.append(lower_bound(best, TRIALS, 0.025) <= 0.5)
  assert not covered(hits, 0.975)


@pytest.mark.parametrize('truths', [(0.5, 0.7, 0.71), (0.99, 0.2), (1.0, 1.0), (0.55,)])
def test_the_interval_covers_the_accuracy_of_the_best_attack(truths):
  """The attack that happens to come out first must not shrink the interval."""
  random = np.random.default_rng(1)
  counts = random.binomial(TRIALS, truths, size=(REPEATS, len(truths)))
  rates = [best_rate(row.tolist(), TRIALS) for row in counts]
  assert covered([rate.low <= max(truths) <= rate.high for rate in rates], 0.95)
  assert all(rate.value == row.max() / TRIALS for rate, row in zip(rates, counts, strict=True))


def test_bounds_are_those_of_scipy():
  """An independent implementation, at the ends of the range as well."""
  for successes in (0, 1, 57, 99, 100):
    exact = stats.binomtest(successes, 100).proportion_ci(0.9, method='exact')
    assert np.isclose(lower_bound(successes, 100, 0.05), exact.low)
    assert np.isclose(upper_bound(successes, 100, 0.05), exact.high)


@pytest.mark.parametrize(('fpr', 'shift'), [(0.1, 1.0), (0.1, 0.0), (0.02, 2.0)])
def test_the_interval_of_a_true_positive_rate_covers_the_closed_form(fpr, shift):
  """Gaussian scores have the rate Phi(Phi^-1(fpr) + shift)."""
  truth = stats.norm.cdf(stats.norm.ppf(fpr) + shift)
  random, hits = np.random.default_rng(2), []
  for _ in range(REPEATS):
    rate = tpr_rate(random.normal(size=TRIALS) + shift * MEMBERS, MEMBERS, fpr)
    assert rate.low <= rate.value <= rate.high
    hits.append(rate.low <= truth <= rate.high)
  assert covered(hits, 0.95)


def test_a_true_positive_rate_that_trials_do_not_resolve_is_none():
  """A hundred non-members say nothing about one in a thousand, and little about one in 100."""
  scores = np.where(MEMBERS, 1.0, 0.0)
  assert tpr_rate(scores, MEMBERS, 0.001) is None
  assert tpr_rate(scores, MEMBERS, 0.01) == (1.0, 0.0, 1.0)
  many = np.arange(2000) % 2 == 0
  assert tpr_rate(many.astype(float), many, 0.01).low > 0.99


@pytest.mark.parametrize('epsilon', [0.0, 1.0])
def test_the_bound_of_epsilon_holds_for_randomised_response(epsilon):
  """A bit told truly with odds of exp(epsilon) has that epsilon exactly."""
  random, bounds = np.random.default_rng(3), []
  truth = np.exp(epsilon) / (1 + np.exp(epsilon))
  for _ in range(REPEATS // 3):
    told = [MEMBERS ^ (random.uniform(size=TRIALS) > truth) for _ in range(2)]
    calibration, reported = ((bits + random.uniform(0, 0.1, TRIALS), MEMBERS) for bits in told)
    bounds.append(empirical_epsilon(calibration, reported))
  assert covered([bound <= epsilon for bound in bounds], 0.95)
  assert (np.median(bounds) > 0.2) == (epsilon > 0)


@pytest.mark.parametrize('sign', [1, -1])
def test_perfect_scores_give_the_bound_of_so_many_trials(sign):
  """Epsilon bounds every event, not only those that an attack calls members."""
  scores = sign * (MEMBERS + 0.0)
  each = TRIALS // 2
  expected = np.log(0.025 ** (1 / each) / (1 - 0.025 ** (1 / each)))
  found = empirical_epsilon((scores, MEMBERS), (scores, MEMBERS))
  assert np.isclose(found, expected)


def test_a_known_threshold_stays_unless_it_is_off():
  """One that is off, as of a learner that an attack does not model, would say 'safe'."""
  scores = np.random.default_rng(4).normal(size=TRIALS) + 3 * MEMBERS
  assert calibrated_threshold(scores, MEMBERS, known=1.4) == (1.4, True)
  moved = calibrated_threshold(scores + 100, MEMBERS, known=1.4)
  assert not moved.is_known
  assert 100 < moved.value < 103


def test_ranks_tell_scores_apart_on_either_side():
  """A score that is lower for members tells them as well."""
  scores = np.random.default_rng(5).normal(size=TRIALS)
  assert ranks_apart(scores, MEMBERS) > 0.01
  assert ranks_apart(scores + MEMBERS, MEMBERS) < 1e-6
  assert ranks_apart(scores - MEMBERS, MEMBERS) < 1e-6
