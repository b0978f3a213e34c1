"""Play may end early, and what is said then is wrong no more often than it says."""

import math
from typing import Any, cast

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from mamljax.audit.certainty import CONFIDENCE, lower_bound, upper_bound
from mamljax.audit.sequential import Looks, always_enough, half_width, plan_looks, shared
from mamljax.errors import InputError

AUDITS = 20_000
# Of members and of non-members, which an attack may decide differently.
RATES = [(0.5, 0.5), (0.7, 0.7), (0.9, 0.9), (0.97, 0.97), (1.0, 0.8), (0.95, 0.05)]


def ends(size: int, confidence: float) -> tuple[np.ndarray, np.ndarray]:
  """The ends of the interval for each number of right decisions."""
  risk, right = (1 - confidence) / 2, np.arange(size + 1)
  return lower_bound(right, size, risk), upper_bound(right, size, risk)


def simulate(
  rates: tuple[float, float], sizes: Any, *, confidence: float, interval: float
) -> tuple[float, float]:
  """The share of audits whose interval covers: that printed, and those of all looks."""
  random, truth, right, before = np.random.default_rng(0), np.mean(rates), 0, 0
  going, printed, always = np.ones(AUDITS, bool), np.zeros(AUDITS, bool), np.ones(AUDITS, bool)
  for size in sizes:
    added = (random.binomial((size - before) // 2, rate, AUDITS) for rate in rates)
    right, before = right + sum(added), size
    low, high = ends(size, confidence)
    value = np.arange(size + 1) / size
    narrow = np.maximum(value - low, high - value) <= interval
    covers = ((low <= truth) & (truth <= high))[right]
    now = going & (narrow[right] | (size == sizes[-1]))
    printed, always, going = np.where(now, covers, printed), always & covers, going & ~now
  return float(printed.mean()), float(always.mean())


@pytest.mark.parametrize('rates', RATES)
@pytest.mark.parametrize(('most', 'interval'), [(2000, 0.05), (600, 0.1), (200, 0.05)])
def test_the_printed_interval_covers(rates, most, interval):
  """At any accuracy, and even if the worst of the looks were the one that is printed."""
  looks = plan_looks(most, interval)
  confidence = shared(CONFIDENCE, looks.number)
  printed, always = simulate(rates, looks.sizes, confidence=confidence, interval=interval)
  assert printed >= always >= 0.95


def test_an_interval_of_a_fixed_number_of_trials_would_not():
  """The control: of few looks or many, the worst misses more often than one time in twenty."""
  options: Any = {'confidence': CONFIDENCE, 'interval': 0.05}
  _, always = simulate((0.7, 0.7), plan_looks(2000, 0.05).sizes, **options)
  assert always < 0.9
  assert simulate((0.7, 0.7), range(8, 649, 8), **options)[1] < 0.75


def sequence_ends(accuracy: float, interval: float) -> int:
  """The trials after which the mixture's confidence sequence is narrow, blocks of 8 apart."""
  for size in range(8, 10_000, 8):
    right = accuracy * size

    def excess(p, size=size, right=right):
      wrong = size - right
      mixed = betaln(1 + right, 1 + wrong) - betaln(1, 1)
      return mixed - xlogy(right, p) - xlog1py(wrong, -p) + math.log(1 - CONFIDENCE)

    low = cast(float, brentq(excess, 1e-9, min(accuracy, 1 - 1e-9)))
    high = 1.0 if accuracy == 1 else cast(float, brentq(excess, accuracy, 1 - 1e-9))
    if max(accuracy - low, high - accuracy) <= interval:
      return size
  raise AssertionError('never narrow')


def test_looks_end_before_a_confidence_sequence_would():
  """Else they are the wrong choice: the numbers are those of the module's docstring."""
  looks = plan_looks(2000, 0.05)
  ended = [looks.end(np.arange(2000) % 2 >= odd) for odd in (1, 0)]
  assert ended == [648, 104]
  assert [sequence_ends(accuracy, 0.05) for accuracy in (0.5, 1.0)] == [1264, 160]


@pytest.mark.parametrize('interval', [0.3, 0.1, 0.05, 0.02])
def test_looks_begin_where_one_can_end_and_end_where_all_do(interval):
  """A look before would share the risk for nothing, and so would trials after the last."""
  looks = plan_looks(10_000, interval)
  assert looks.sizes == tuple(sorted(set(looks.sizes)))
  assert looks.sizes[-1] == always_enough(interval)
  confidence = shared(CONFIDENCE, looks.number)

  def widths(size):
    low, high = ends(size, confidence)
    value = np.arange(size + 1) / size
    return np.maximum(value - low, high - value)

  assert widths(looks.sizes[-1]).max() <= interval
  assert widths(looks.sizes[0]).min() <= interval
  for size in range(max(looks.sizes[0] - 8, 1)):
    assert widths(size + 1).min() > interval


def test_an_attack_ends_by_what_it_has_played():
  """Trials after the end change nothing, and before there is none."""
  random, looks = np.random.default_rng(0), plan_looks(2000, 0.05)
  ended = []
  for accuracy in (0.6, 0.9, 0.95, 0.99):
    right = random.random(2000) < accuracy
    end = looks.end(right)
    assert end in looks.sizes
    assert looks.end(right[:end]) == end
    assert looks.end(right[: end - 1]) is None
    assert half_width(looks.rate(int(right[:end].sum()), end)) <= 0.05
    ended.append(end)
  assert ended == sorted(ended, reverse=True)
  assert len(set(ended)) > 1


def test_without_an_interval_all_trials_are_played_at_the_whole_risk():
  """As ever; nor does an interval that these trials cannot reach take any certainty."""
  assert plan_looks(201, None) == Looks((201,), 201)
  assert plan_looks(200, 0.02).sizes == (200,)
  for confidence in (0.3, 0.9, CONFIDENCE):
    assert shared(confidence, 1) == confidence
  assert plan_looks(201, None).end(np.ones(200, bool)) is None


@pytest.mark.parametrize('interval', [0, 1, 0.5, -0.1, math.nan, math.inf, '0.05', True])
def test_what_is_no_half_width_is_one_line(interval):
  """With the value, and one that would do."""
  with pytest.raises(InputError, match=r'^interval must be a half-width .* 0\.05, not .*$'):
    plan_looks(200, interval)
