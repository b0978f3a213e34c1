"""The threshold: as accurate as any on the calibration trials, and blind to scale and order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamljax.audit.decision import choose_threshold, decide

# A few repeated values make ties between trials, as well as any float at all.
SCORES = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0]) | st.floats(
  min_value=-1e300, max_value=1e300
)
TRIALS = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30)


def split(trials):
  scores, members = zip(*trials, strict=True)
  return np.array(scores), np.array(members)


def accuracy(scores, members, threshold):
  return np.mean(decide(scores, threshold) == members)


@given(TRIALS)
def test_no_threshold_is_more_accurate(trials):
  """A calibrated threshold that another one beats would understate every attack."""
  scores, members = split(trials)
  every_cut = [np.mean((scores > cut) == members) for cut in [-np.inf, *scores]]
  assert accuracy(scores, members, choose_threshold(scores, members)) == max(every_cut)


@given(TRIALS)
def test_never_worse_than_a_constant_answer(trials):
  """An attack must not be reported as worse than not looking, on its own calibration."""
  scores, members = split(trials)
  constant = max(members.mean(), (~members).mean())
  assert accuracy(scores, members, choose_threshold(scores, members)) >= constant


@given(TRIALS)
def test_rising_transforms_change_no_decision(trials):
  """A score's unit is arbitrary; decisions that hang on it would not compare attacks."""
  scores, members = split(trials)
  ranks = np.unique(scores, return_inverse=True)[1] ** 3 - 7.0
  decisions = decide(scores, choose_threshold(scores, members))
  np.testing.assert_array_equal(decisions, decide(ranks, choose_threshold(ranks, members)))


@given(TRIALS, st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter(trials, random):
  """Chunks may finish in any order; the threshold must not know."""
  shuffled = random.sample(trials, len(trials))
  assert choose_threshold(*split(trials)) == choose_threshold(*split(shuffled))


def test_separable_scores_are_cut_in_the_middle_of_the_gap():
  """A cut at the edge of the gap would favour one kind of error on new trials."""
  assert choose_threshold([0, 1, 3, 9], [False, False, True, True]) == 2


def test_members_alone_are_all_called_members_by_the_next_threshold_below():
  """A threshold far below would call every new trial a member, too."""
  assert choose_threshold([1.0, 2.0], [True, True]) == np.nextafter(1.0, -np.inf)


def test_ties_go_to_the_median_of_the_best_candidates():
  """Of five equally good cuts (0.5, 1.5, ..., 4.5) an extreme one generalises worst."""
  scores = [0, 1, 2, 3, 4, 5]
  assert choose_threshold(scores, [False, True, False, True, False, True]) == 2.5


def test_threshold_generalises_when_classes_overlap():
  """Fresh trials of two unit Gaussians d apart must come near the best possible, Phi(d/2)."""
  random = np.random.default_rng(0)
  members = np.arange(2000) % 2 == 0
  calibration, fresh = random.normal(size=(2, 2000)) + 2 * members
  best = 0.8413  # Phi(1)
  assert accuracy(fresh, members, choose_threshold(calibration, members)) > best - 0.03


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_counted_not_decided(bad):
  """A diverged attack's NaN would otherwise pass silently for the answer 'non-member'."""
  scores = [0.1, bad, bad]
  with pytest.raises(ValueError, match='2 of 3 scores are not finite'):
    decide(scores, 0.5)
  with pytest.raises(ValueError, match='2 of 3 scores are not finite'):
    choose_threshold(scores, [True, False, True])


def test_a_nan_threshold_decides_nothing():
  """Every comparison with NaN is False: the attack would seem to call nobody a member."""
  with pytest.raises(ValueError, match='threshold is NaN'):
    decide([0.1], np.nan)


def test_no_trials_give_no_threshold():
  """A threshold from nothing would be a guess."""
  with pytest.raises(ValueError, match='at least one'):
    choose_threshold([], [])


@pytest.mark.parametrize(
  ('scores', 'members'), [([0.1, 0.2], [True]), ([[0.1], [0.2]], [[True], [False]])]
)
def test_scores_without_a_truth_each_are_refused(scores, members):
  """Truths that are broadcast, or flattened in another order, would belong to other trials."""
  with pytest.raises(ValueError, match=r'are not \[n\] and \[n\]'):
    choose_threshold(scores, members)


def test_float32_scores_are_decided_as_they_were_calibrated():
  """Rounding a midpoint to float32 could move neighbouring scores across it."""
  low = np.float32(0.7)
  scores = np.array([low, np.nextafter(low, np.float32(1))])
  threshold = choose_threshold(scores, [False, True])
  np.testing.assert_array_equal(decide(scores, threshold), [False, True])


def test_neighbouring_floats_are_still_told_apart():
  """Between them lies no midpoint; one rounded up would let no score exceed it."""
  scores = [1 + 2**-52, 1 + 2**-51]
  decisions = decide(scores, choose_threshold(scores, [False, True]))
  np.testing.assert_array_equal(decisions, [False, True])
