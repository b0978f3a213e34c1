"""Rates and curves against scikit-learn, closed forms and exact binomial sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from mamljax.audit.metrics import (
  Metrics,
  Rate,
  auc,
  auc_rate,
  evaluate,
  proportion,
  tpr_at_fpr,
)


def draw(seed, trials=300, *, shift=1.0, decimals=1):
  """Overlapping classes; few decimals make many ties, also across classes."""
  random = np.random.default_rng(seed)
  members = random.random(trials) < 0.4
  return np.round(random.normal(size=trials) + shift * members, decimals), members


@pytest.mark.parametrize(('successes', 'total'), [(0, 7), (3, 10), (50, 100), (199, 200)])
@pytest.mark.parametrize('confidence', [0.9, 0.95])
def test_proportion_is_the_closed_form(successes, total, confidence):
  """The printed interval must be Clopper-Pearson's beta quantiles."""
  tail = (1 - confidence) / 2
  low = stats.beta.ppf(tail, successes, total - successes + 1) if successes else 0
  high = stats.beta.ppf(1 - tail, successes + 1, total - successes)
  expected = pytest.approx((successes / total, low, high), rel=1e-9, abs=1e-12)
  assert proportion(successes, total, confidence=confidence) == expected


@pytest.mark.parametrize('total', [1, 2, 7, 40, 100])
def test_proportion_covers_the_truth_as_often_as_it_says(total):
  """At some true rate a '95 %' interval would miss more than 5 % of the time."""
  rates = [proportion(k, total) for k in range(total + 1)]
  lows, highs = np.array([(rate.low, rate.high) for rate in rates if rate]).T
  for truth in np.linspace(0.001, 0.999, 199):
    covered = (lows <= truth) & (truth <= highs)
    assert stats.binom.pmf(np.arange(total + 1), total, truth) @ covered >= 0.95


def test_a_rate_of_nothing_is_none():
  """Nothing was called a member: a precision of 0 or 1 would be a guess."""
  assert proportion(0, 0) is None


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('decimals', [0, 1, 6])
def test_auc_is_scikit_learns(seed, decimals):
  """Ties counted otherwise than half would favour attacks with coarse scores."""
  scores, members = draw(seed, decimals=decimals)
  expected = sklearn_metrics.roc_auc_score(members, scores)
  assert auc(scores, members) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=20))
def test_auc_is_the_share_of_pairs_won(trials):
  """By its definition, pair by pair; None without a pair."""
  members = [score for score, member in trials if member]
  others = [score for score, member in trials if not member]
  pairs = [(a > b) + (a == b) / 2 for a in members for b in others]
  expected = pytest.approx(np.mean(pairs)) if pairs else None
  scores, truths = [t[0] for t in trials], [t[1] for t in trials]
  assert auc(scores, truths) == expected


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('fpr', [0.01, 0.05, 0.1, 0.5, 1.0])
def test_tpr_at_fpr_is_the_height_of_scikit_learns_curve(seed, fpr):
  """The threshold must be the most generous one within the rate, ties included."""
  scores, members = draw(seed, 1000)
  rates, heights, _ = sklearn_metrics.roc_curve(members, scores, drop_intermediate=False)
  assert tpr_at_fpr(scores, members, fpr) == pytest.approx(max(heights[rates <= fpr]))


@pytest.mark.parametrize(('fpr', 'needed'), [(0.001, 1000), (0.01, 100), (0.1, 10)])
def test_tpr_needs_enough_non_members_to_express_the_rate(fpr, needed):
  """With 999 non-members one false alarm is already more than 0.1 %: no number, no guess."""
  scores = np.arange(needed + 2.0)
  members = scores >= needed
  assert tpr_at_fpr(scores, members, fpr) == 1
  assert tpr_at_fpr(scores[1:], members[1:], fpr) is None


def test_tpr_uses_the_last_false_alarm_it_may():
  """63 of 180 is 35 %, though 0.35 * 180 is less than 63 in floating point."""
  scores = [*range(180), 116.5, 115.5]
  assert tpr_at_fpr(scores, np.arange(182) >= 180, 0.35) == 0.5


def test_tpr_at_a_rate_of_one_is_that_of_always_member():
  """The member below every non-member is called, too, if all false alarms are allowed."""
  assert tpr_at_fpr([0.1, 0.5], [True, False], 1.0) == 1.0


def test_bootstrap_resamples_tasks_as_by_hand():
  """Each resample must be the trials of the drawn tasks, whole, as often as drawn."""
  scores, members = draw(0, 60)
  tasks = np.arange(60) // 4
  random = np.random.default_rng(5)
  both = [t for t in range(15) if 0 < members[tasks == t].sum() < 4]
  alone = [t for t in range(15) if t not in both]
  assert not any(members[tasks == t].all() for t in alone)
  values = []
  for _ in range(2000):
    drawn = [*random.choice(both, len(both)), *random.choice(alone, len(alone))]
    trials = np.concatenate([np.flatnonzero(tasks == t) for t in drawn])
    values.append(auc(scores[trials], members[trials]))
  expected = (auc(scores, members), *np.quantile(values, [0.025, 0.975]))
  assert auc_rate(scores, members, tasks, seed=0) == pytest.approx(expected, abs=0.01)


def coverage(task_of, trials=200, rounds=120):
  """How often the interval holds the true AUC when ten trials share a task's luck."""
  members = np.arange(trials) // 10 % 2 == 0
  truth = stats.norm.cdf(1 / math.sqrt(2 * (1 + 1)))  # shift 1; shared and own variance 1
  hits = 0
  for seed in range(rounds):
    random = np.random.default_rng(seed)
    luck = np.repeat(random.normal(size=trials // 10), 10)
    scores = members + luck + random.normal(size=trials)
    rate = auc_rate(scores, members, task_of, seed=seed, resamples=200)
    hits += rate.low <= truth <= rate.high
  return hits / rounds


def test_bootstrap_over_tasks_covers_the_true_auc():
  """Trials on one task share its gradient: the interval must be as wide as that demands."""
  assert coverage(np.arange(200) // 10) > 0.85


def test_bootstrap_over_trials_would_not():
  """The negative control: taking shared luck for independent trials claims far too much."""
  assert coverage(np.arange(200)) < 0.75


def test_bootstrap_depends_on_the_seed_only():
  """An interval must be reproducible, and blind to the order in which trials finished."""
  scores, members = draw(1)
  tasks = np.arange(300) // 2
  shuffle = np.random.default_rng(0).permutation(300)
  rate = auc_rate(scores, members, tasks, seed=3)
  assert rate == auc_rate(scores[shuffle], members[shuffle], tasks[shuffle], seed=3)
  assert rate != auc_rate(scores, members, tasks, seed=4)
  assert rate.low <= rate.value <= rate.high


def test_a_resample_never_lacks_a_class():
  """Two member tasks among forty would be missed by one plain resample in eight: NaN."""
  members = np.arange(40) < 2
  scores = np.where(members, 30.5, np.arange(40))
  rate = auc_rate(scores, members, np.arange(40), seed=0)
  assert all(0 <= number <= 1 for number in rate)


@pytest.mark.parametrize('flip', [False, True])
def test_the_only_task_with_both_is_in_every_resample(flip):
  """Drawn from one stratum with the others it would be missing, and its class with it."""
  members = np.array([True, False, False, False, False, False]) ^ flip
  scores, tasks = [0.3, 0.1, 0.2, 0.4, 0.5, 0.6], [0, 0, 1, 2, 3, 4]
  rate = auc_rate(scores, members, tasks, seed=0, resamples=100)
  assert all(0 <= number <= 1 for number in rate)


@pytest.mark.parametrize('sign', [1, -1])
def test_perfect_separation_is_not_certainty(sign):
  """50 won comparisons of 50 bound the AUC as 50 successes in 50 bound a rate."""
  members = np.arange(100) % 2 == 0
  rate = auc_rate(sign * (members + np.arange(100) / 1e3), members, np.arange(100), seed=0)
  assert rate == proportion(50 if sign > 0 else 0, 50)


@pytest.mark.parametrize(
  ('members', 'tasks', 'pairs'),
  [
    ([1, 1, 1, 0], [0, 1, 2, 3], 1),  # one non-member serves one pair only
    ([1, 0, 0, 0], [0, 1, 2, 3], 1),  # nor does one member serve more
    ([1, 0, 1, 0], [0, 0, 1, 1], 1),  # two tasks make one disjoint pair
    ([1, 0, 1, 0], [0, 0, 0, 0], 1),  # one task is one comparison
    ([1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 2, 3], 2),
  ],
)
def test_perfect_separation_counts_disjoint_pairs_of_tasks(members, tasks, pairs):
  """Counting a task twice would take one piece of luck for two."""
  assert auc_rate(np.array(members), members, tasks, seed=0) == proportion(pairs, pairs)


@pytest.mark.parametrize('score', [0.0, 0.5])
def test_equal_scores_were_certain_of_one_half(score):
  """Nothing varies in a resample: '0.500 [0.50, 0.50]' of 4 trials, as of 4,000."""
  members = np.arange(100) % 2 == 0
  rate = auc_rate(np.full(100, score), members, np.arange(100), seed=0)
  assert rate == (0.5, *proportion(25, 50)[1:])
  few = auc_rate(np.full(6, score), members[:6], np.arange(6), seed=0)
  assert few == (0.5, proportion(1, 3).low, proportion(2, 3).high)


def test_a_single_task_was_certain_of_what_it_found():
  """Resampled alone it is always the same: one comparison, whatever came of it."""
  rate = auc_rate([0.1, 0.4, 0.3, 0.2], [0, 1, 0, 1], [7, 7, 7, 7], seed=0)
  assert rate == (0.75, proportion(0, 1).low, proportion(1, 1).high)


@pytest.mark.parametrize('members', [[True, True], [False, False]])
def test_one_class_alone_has_no_curve(members):
  """There is nothing to tell apart: None, not 0.5."""
  assert auc([0.1, 0.2], members) is None
  assert auc_rate([0.1, 0.2], members, [0, 1], seed=0) is None
  assert tpr_at_fpr(np.arange(200), np.repeat(members, 100), 0.01) is None


def test_evaluate_by_hand():
  """Accuracy, recall and precision must not be swapped: seven trials, four called."""
  metrics = evaluate(
    [0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.05],
    [True, True, False, False, True, False, False],
    threshold=0.5,
    tasks=range(7),
  )
  assert metrics.accuracy == proportion(4, 7)
  assert metrics.recall == proportion(2, 3)
  assert metrics.precision == proportion(2, 4)
  assert isinstance(metrics.auc, Rate)
  assert metrics.auc.value == pytest.approx(10 / 12)
  assert metrics.threshold == 0.5
  assert metrics.tpr_at_fpr_1pct is None
  assert metrics.tpr_at_fpr_01pct is None


def test_a_member_found_at_another_learner_is_a_wrong_decision():
  """The global game asks whose member it is, too: of three called, one is found."""

  def judge(located) -> Metrics:
    scores, members = [0.9, 0.8, 0.7, 0.2, 0.1], [True, True, False, True, False]
    return evaluate(scores, members, threshold=0.5, tasks=range(5), located=located)

  metrics, local = judge([True, False, True, False, False]), judge(True)
  assert metrics.accuracy == proportion(2, 5)
  assert metrics.recall == metrics.precision == proportion(1, 3)
  # Where a non-member, or a member that was not called one, was sought decides nothing.
  assert metrics == judge([True, False, False, True, True])
  # AUC and TPR ask about membership alone.
  assert metrics[3:] == local[3:]
  assert local == judge([True] * 5)


def test_evaluate_without_a_call_has_no_precision():
  """A threshold above every score: precision is undefined, recall is 0."""
  metrics = evaluate([0.1, 0.2], [True, False], threshold=1.0, tasks=[0, 1])
  assert metrics.precision is None
  assert metrics.recall == proportion(0, 1)


def test_nan_scores_are_counted():
  """A cell with diverged trials must fail by name, not report a lower accuracy."""
  scores = [0.1, math.nan, 0.3, math.nan]
  with pytest.raises(ValueError, match=r'2 of 4 scores are not finite \(2 NaN\)'):
    evaluate(scores, [True, False] * 2, threshold=0.2, tasks=range(4))


def test_unequal_lengths_are_refused():
  """Scores paired with the wrong truths would be scored all the same."""
  with pytest.raises(ValueError, match=r'\(3,\) and members \(2,\)'):
    evaluate([0.1, 0.2, 0.3], [True, False], threshold=0.2, tasks=range(3))
