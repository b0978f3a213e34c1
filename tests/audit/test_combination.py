"""Several scores make one, never worse than the best of them on the calibration trials."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mamljax.audit import metrics
from mamljax.audit.combination import combine

MEMBERS = np.arange(400) % 2 == 0


def auc(scores: np.ndarray, members: np.ndarray) -> float:
  """That of trials with members and others."""
  found = metrics.auc(scores, members)
  assert found is not None
  return found


def draw(*apart: float, seed: int = 0) -> np.ndarray:
  """Independent scores whose members are so many deviations above the others."""
  noise = np.random.default_rng(seed).standard_normal((len(MEMBERS), len(apart)))
  return noise + np.outer(MEMBERS, apart)


def test_independent_evidence_adds_up():
  """Positive control: two weak scores are, together, a score of sqrt(2) times the distance."""
  combination = combine(draw(1.0, 1.0), MEMBERS)
  fresh = draw(1.0, 1.0, seed=1)
  parts = [auc(part, MEMBERS) for part in fresh.T]
  assert auc(combination(fresh), MEMBERS) > max(parts) + 0.03


def test_noise_adds_nothing_and_takes_little():
  """Null control: on other trials a useless part must not be worth anything."""
  blind = combine(draw(0.0, 0.0), MEMBERS)
  assert auc(blind(draw(0.0, 0.0, seed=1)), MEMBERS) == pytest.approx(0.5, abs=0.09)
  fresh = draw(2.0, 0.0, seed=1)
  alone = auc(fresh[:, 0], MEMBERS)
  assert auc(combine(draw(2.0, 0.0), MEMBERS)(fresh), MEMBERS) > alone - 0.01


@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.integers(1, 4))
def test_never_worse_than_the_best_part_on_calibration(seed, trials, parts):
  """Whatever the scores are, ties, tails and outliers among them."""
  random = np.random.default_rng(seed)
  scores = np.round(random.standard_cauchy((trials, parts)), 1)
  members = random.permutation(np.arange(trials) % 2 == 0)
  found = auc(combine(scores, members)(scores), members)
  assert found >= max(auc(part, members) for part in scores.T) - 1e-12


def test_the_weights_are_those_of_a_logistic_regression():
  """Against another implementation of the same convex problem."""
  scores = draw(1.0, 0.5, 0.2)
  combination = combine(scores, MEMBERS)
  low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75], axis=0)
  features = np.arcsinh((scores - middle) / (high - low))
  theirs = LogisticRegression(C=1.0, tol=1e-8).fit(features, MEMBERS)
  np.testing.assert_allclose(combination.weights, theirs.coef_[0], rtol=1e-3, atol=1e-4)


def test_units_do_not_matter():
  """A score in other units, from another origin, is the same evidence."""
  scores = draw(1.0, 0.5)
  moved = scores * [1e-6, 1e6] + [3.0, -7e6]
  np.testing.assert_allclose(
    combine(moved, MEMBERS)(moved), combine(scores, MEMBERS)(scores), rtol=1e-4, atol=1e-5
  )


def test_perfect_and_constant_parts_are_no_trouble():
  """Separated trials have no finite weights of most likelihood; a constant has no spread."""
  scores = np.column_stack([np.where(MEMBERS, 1.0, -1e9), np.zeros(len(MEMBERS))])
  combination = combine(scores, MEMBERS)
  assert np.isfinite(combination.weights).all()
  assert auc(combination(scores), MEMBERS) == 1


@pytest.mark.parametrize(
  ('scores', 'members', 'message'),
  [
    ([[np.nan], [0.0]], [True, False], 'not finite'),
    ([[1.0], [0.0]], [True, True], 'without members or without non-members'),
    ([1.0, 0.0], [True, False], r'are not \[n, parts\]'),
  ],
)
def test_what_cannot_be_weighed_is_refused(scores, members, message):
  """A weight of nothing would be reported as an attack."""
  with pytest.raises(ValueError, match=message):
    combine(scores, members)
