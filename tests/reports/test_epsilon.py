"""Epsilon of a report: chosen on calibration trials, bounded on others, 0 for nothing."""

from typing import Any

import numpy as np
import pytest

from mamljax.errors import InputError
from mamljax.reports.measures import Finding, Played, measure, strongest
from mamljax.reports.report import Report

TRIALS = 400
MEMBERS = np.arange(TRIALS) % 2 == 0


def report(shifts: dict[str, tuple[float, float]], *, is_gaussian: bool) -> Report:
  """A report of attacks whose Gaussian scores are so far apart in each of the two phases."""
  random, rows = np.random.default_rng(1), []
  for name, both in shifts.items():
    scores = [random.normal(size=TRIALS) + shift * MEMBERS for shift in both]
    rows.append(measure(name, Played(*scores, seconds=0.0), known=None, notes=(), seed=0))
  told: Any = {
    'skipped': {},
    'assumptions': (),
    'warnings': (),
    'asked': {},
    'late': (),
    'unasked': (),
  }
  finding, listed = Finding('leak', rows[0].attack), tuple(rows)
  return Report(
    worst=strongest(rows), attacks=listed, finding=finding, is_gaussian=is_gaussian, **told
  )


def test_scores_that_know_nothing_show_nothing():
  """A number above 0 would be believed."""
  found = report({'a': (0.0, 0.0), 'b': (0.0, 0.0)}, is_gaussian=True)
  assert found.epsilon(delta=1e-5) == 0


def test_the_trade_off_of_gaussians_shows_more_where_it_holds():
  """Of a distance of 2: its epsilon is 10.0 at that delta."""
  plain, gaussian = (
    report({'a': (2.0, 2.0)}, is_gaussian=told).epsilon(delta=1e-5) for told in (False, True)
  )
  assert 1 < plain < gaussian < 10.0


def test_the_attack_is_chosen_on_calibration_trials():
  """The best on the reported ones is best by luck as well, and its bound no bound."""
  lucky = report({'lucky': (0.0, 3.0), 'known': (2.0, 1.0)}, is_gaussian=True)
  assert 0 < lucky.epsilon(delta=1e-5) < 4.4  # that of a distance of 1


@pytest.mark.parametrize('wrong', [{'delta': 0.0}, {'delta': 1e-5, 'confidence': 1.0}])
def test_what_is_no_probability_is_refused(wrong):
  """With one line."""
  with pytest.raises(InputError, match='must be above 0 and below 1'):
    report({'a': (0.0, 0.0)}, is_gaussian=True).epsilon(**wrong)
