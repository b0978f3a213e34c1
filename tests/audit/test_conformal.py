"""P-values and decisions keep their promises on scores whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from mamljax.audit import conformal

NULLS, REPEATS = 49, 2000


def p_values(random: np.random.Generator, *, members: int, others: int) -> np.ndarray:
  """P-values against common non-members; members score four deviations higher."""
  nulls = random.normal(size=NULLS)
  scores = random.normal(size=members + others) + 4 * (np.arange(members + others) < members)
  return np.array([conformal.p_value(score, nulls) for score in scores])


def test_p_values_of_non_members_are_exact():
  """With 49 non-members every multiple of 1/50 is as likely."""
  random = np.random.default_rng(0)
  found = np.concatenate([p_values(random, members=0, others=1) for _ in range(REPEATS)])
  observed = np.bincount(np.rint(found * 50).astype(int), minlength=51)[1:]
  assert stats.chisquare(observed).pvalue > 0.01


def test_ties_are_no_evidence():
  """An attack that gives every image the same score tells nothing."""
  assert conformal.p_value(1.0, np.ones(99)) == 1


@pytest.mark.parametrize(('members', 'others'), [(0, 1), (0, 10), (5, 10)])
def test_non_members_are_called_as_seldom_as_is_said(members, others):
  """Each with a probability of at most the level, and of those called at most such a share."""
  random, level, share, false = np.random.default_rng(1), 0.1, [], []
  for _ in range(REPEATS):
    called = conformal.benjamini_hochberg(
      p_values(random, members=members, others=others), level
    )
    false.append(called[members:].mean())
    share.append(called[members:].sum() / max(called.sum(), 1))
  error = 3 * np.sqrt(level * (1 - level) / REPEATS)
  assert np.mean(false) <= level + error
  assert np.mean(share) <= level + error


def test_decisions_are_those_of_scipy():
  """An independent implementation."""
  for seed in range(20):
    values = np.random.default_rng(seed).beta(0.5, 2, size=12)
    expected = stats.false_discovery_control(values) <= 0.1
    np.testing.assert_array_equal(conformal.benjamini_hochberg(values, 0.1), expected)


def test_the_fewest_that_can_be_called_are():
  """Fewer than these cannot, whatever their scores."""
  for smallest, count in ((0.01, 10), (0.02, 7), (0.001, 30)):
    fewest = conformal.fewest_callable(smallest, 0.05, count)
    assert fewest is not None
    for number in (fewest - 1, fewest):
      values = np.where(np.arange(count) < number, smallest, 1.0)
      called = conformal.benjamini_hochberg(values, 0.05).sum()
      assert called == (number if number >= fewest else 0)
  assert conformal.fewest_callable(0.06, 0.05, 10) is None


def test_rounds_count_alike_whatever_their_scale():
  """And a rising transform of one of them changes nothing."""
  rounds = np.random.default_rng(2).normal(size=(3, 40))
  scaled = np.stack([rounds[0], 1e6 * rounds[1] + 3, np.exp(rounds[2])])
  np.testing.assert_allclose(conformal.combined(scaled), conformal.combined(rounds))
