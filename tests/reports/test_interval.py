"""Attacks of an audit end where their interval is narrow enough, and its report says so."""

import functools
import json
import math
from typing import Any

import numpy as np
import pytest

import mamljax
from experiments.audit import HALF_WIDTH
from mamljax import InputError
from mamljax.audit import certainty
from mamljax.audit.metrics import auc_rate
from mamljax.audit.sequential import half_width, plan_looks, shared
from mamljax.reports import table
from mamljax.reports.budget import Budget
from mamljax.reports.measures import Played, find, measure, strongest, strongest_epsilon
from tests.reports.test_audit_tasks import Coin, audit

MOST, INTERVAL = 120, 0.15
NAMES = ['matched_filter', 'gradient_cosine', Coin(), 'patch_space']


@functools.cache
def whole() -> mamljax.Report:
  """An audit of all trials."""
  return audit(NAMES, trials=MOST)


@functools.cache
def sequential() -> mamljax.Report:
  """An audit that may end early."""
  return audit(NAMES, trials=MOST, interval=INTERVAL)


def test_attacks_end_early_with_the_numbers_of_an_audit_of_all_trials():
  """Of thresholds that are known beforehand and of chosen ones, cheap attacks and costly."""
  sizes = plan_looks(MOST, INTERVAL).sizes
  ended = {row.attack: row.trials for row in sequential().attacks}
  assert {*ended} == {row.attack for row in whole().attacks}
  assert ended['matched_filter'] == sizes[0] < ended['coin'] == sizes[-1] < MOST
  for row in sequential().attacks:
    same = whole().row(row.attack)
    np.testing.assert_array_equal(row.scores, same.scores[: row.trials])
    np.testing.assert_array_equal(row.calibration, same.calibration)
    assert row.threshold == same.threshold
    assert half_width(row.accuracy) <= INTERVAL
    assert row.accuracy.value == np.mean((row.scores > row.threshold) == row.members)
  known = {row.threshold_is_known for row in sequential().attacks}
  assert known == {True, False}


def test_every_statement_allows_for_the_looks():
  """One at the whole risk would be more certain than it is."""
  members = np.arange(1000) % 2 == 0
  calibration, scores = np.random.default_rng(0).normal(size=(2, 1000)) + 2 * members
  rows = [
    measure('a', Played(calibration, scores, 0.0), known=None, notes=(), seed=0, looks=looks)
    for looks in (1, 4)
  ]
  for row in rows:
    at: Any = {'confidence': shared(certainty.CONFIDENCE, row.looks)}
    assert row.accuracy == certainty.best_rate([row.right], 1000, **at)
    assert row.tpr_at_fpr_1pct == certainty.tpr_rate(scores, members, 0.01, **at)
    bound = certainty.empirical_epsilon((calibration, members), (scores, members), **at)
    assert row.epsilon == bound
    drawn: Any = {'seed': 0, 'resamples': 2000 * row.looks}
    assert row.auc == auc_rate(scores, members, np.arange(1000), **drawn, **at)
  plain, wide = rows
  assert plain.epsilon > wide.epsilon > 0
  for name in ('accuracy', 'auc', 'tpr_at_fpr_1pct'):
    (_, low, high), (_, lower, higher) = getattr(plain, name), getattr(wide, name)
    assert lower < low < high < higher
  bounds = [
    strongest_epsilon([row], delta=1e-5, is_gaussian=True, confidence=0.95) for row in rows
  ]
  assert bounds[0] > bounds[1] > 0


def test_the_best_of_attacks_that_ended_apart_has_one_interval():
  """Its ends are the greatest of theirs, each at its own number of trials."""
  rows, looks = sequential().attacks, sequential().worst.looks
  best, risk = strongest(rows), (1 - shared(0.95, looks)) / 2
  ends = [certainty.lower_bound(x.right, x.trials, risk / len(rows)) for x in rows]
  assert best.accuracy.low == max(ends)
  assert best.accuracy.value == max(row.accuracy.value for row in rows)
  assert sequential().worst.accuracy == best.accuracy


def test_a_trace_allows_for_the_looks():
  """Ranks that are apart at one look of four by chance must not be called a leak."""
  random = np.random.default_rng(3)
  members = np.arange(200) % 2 == 0
  calibration, scores = random.normal(size=(2, 200)) + 0.35 * members
  levels = set()
  for looks in (1, 4):
    played = Played(calibration, np.where(scores > 1, 1, scores), 0.0)
    row = measure('a', played, known=5.0, notes=(), seed=0, looks=looks)
    p_value = certainty.ranks_apart(row.scores, row.members)
    assert 0.05 / 4 < p_value < 0.05
    levels.add(find([row], strongest([row])).level)
  assert levels == {'trace', 'none'}


def test_an_interrupted_audit_ends_at_the_same_look(tmp_path, monkeypatch):
  """Wherever it was interrupted, and with no time left for attacks that ended before."""
  keep, played = table.Table.keep, []

  def stop(self, phase, scored):
    played.append((phase.name, scored.name, scored.start))
    if len(played) in (5, 60):
      raise KeyboardInterrupt
    keep(self, phase, scored)

  monkeypatch.setattr(table.Table, 'keep', stop)
  for _ in range(2):
    with pytest.raises(KeyboardInterrupt):
      audit(NAMES, trials=MOST, interval=INTERVAL, store=tmp_path)
  first = audit(NAMES, trials=MOST, interval=INTERVAL, store=tmp_path)
  count = len(played)
  monkeypatch.setattr(Budget, 'left', -1.0)
  again = audit(NAMES, trials=MOST, interval=INTERVAL, store=tmp_path, budget=1e9)
  assert len(played) == count
  for found in (first, again):
    assert [x.attack for x in found.attacks] == [x.attack for x in sequential().attacks]
    for row in found.attacks:
      np.testing.assert_array_equal(row.scores, sequential().row(row.attack).scores)


def test_kept_scores_of_all_trials_do_not_move_the_end(tmp_path):
  """An end that depends on more trials than were played before it is no end by looks."""
  names = ['gradient_cosine', Coin()]
  audit(names, trials=MOST, store=tmp_path)
  found = audit(names, trials=MOST, interval=INTERVAL, store=tmp_path)
  for row in found.attacks:
    np.testing.assert_array_equal(row.scores, sequential().row(row.attack).scores)


def test_the_report_says_how_many_trials_were_played_and_why():
  """In text, JSON, a data frame and a page."""
  found, sizes = sequential(), plan_looks(MOST, INTERVAL).sizes
  text = ' '.join(str(found).split())
  said = f'Of up to {MOST} trials {found.worst.attack} needed {sizes[0]} for an interval'
  assert said in found.verdict
  assert said in found.to_html()
  assert f'ended after {", ".join(map(str, sizes[:-1]))} or {sizes[-1]} trials' in text
  assert f'Each of these {len(sizes)} looks has a share of the risk' in text
  assert f'Up to {MOST} trials, each on a task of its own; {MOST // 2} trials on other' in text
  assert found.table.splitlines()[0].split()[-2:] == ['trials', 'seconds']
  told = json.loads(found.to_json())
  assert told['asked']['interval'] == INTERVAL
  assert told['asked']['looks'] == list(sizes)
  assert told['asked']['trials'] == MOST
  trials = [row.trials for row in found.attacks]
  assert (
    [row['trials'] for row in told['attacks']] == found.to_frame().trials.tolist() == trials
  )
  assert len(told['members']) == max(trials)
  assert 'looks' not in whole().asked
  assert 'trials' not in whole().to_frame()
  assert ' early' not in str(whole())


def test_an_interval_that_is_not_reached_is_named():
  """With the trials that would reach it; nothing is taken off the certainty for it."""
  found = audit([Coin()], trials=40, interval=0.05)
  assert found.worst.trials == 40
  assert found.worst.looks == 1
  assert 'needed' not in found.verdict
  warned = next(text for text in found.warnings if text.startswith('After all 40 trials'))
  assert warned.endswith('further than 5 % for coin: trials=648 are enough for any accuracy.')


@pytest.mark.parametrize('interval', [0, 1, -0.1, math.nan])
def test_what_is_no_half_width_is_refused(interval):
  """By the function and by the flag, before anything is computed."""
  with pytest.raises(InputError, match=r'^interval must be a half-width'):
    audit(interval=interval)
  with pytest.raises(InputError, match=r'^interval must be a number of at (least|most)'):
    HALF_WIDTH.check('interval', interval)
