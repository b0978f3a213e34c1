"""Ratios are paired by round, and contestants have the cores that are written beside them."""

import numpy as np
import pytest

from experiments.benchmarking import contest
from experiments.benchmarking.contest import Outcome, Sample


def outcome(seconds, units, flops=0.0):
  """A contestant that took these seconds."""
  return Outcome({'units': units, 'flops': flops}, [Sample(s, s / 2) for s in seconds])


def test_ratios_are_paired_by_round():
  """A machine that slows down tenfold in mid-run changes no ratio, only every median."""
  load = np.array([1, 1, 1, 10, 10, 10, 10])
  outcomes = {'a': outcome(6 * load, units=2), 'b': outcome(1 * load, units=4)}
  for clock in ('wall', 'cpu'):
    assert contest.ratio(outcomes, 'a', 'b', clock=clock) == pytest.approx((12, 12, 12))


def test_interval_of_a_median():
  """Nine rounds: the second and the eighth of them (binomial, 96.1 %). Of five: none."""
  assert contest.median_of(np.arange(1.0, 10)) == (5, 2, 8)
  assert contest.median_of(np.arange(1.0, 6)) == (3, None, None)


def test_peak_fraction():
  """Half the arithmetic a second, whatever the units."""
  outcomes = {'a': outcome([2.0] * 6, 3, flops=100), 'p': outcome([1.0] * 6, 10, flops=100)}
  assert contest.peak_fraction(outcomes, 'a', 'p') == pytest.approx((0.5, 0.5, 0.5))


ECHO = """
import os, sys, threading, time
from experiments.benchmarking import serving

def burn():
  end = time.process_time() + 0.2
  while time.process_time() < end:
    sum(range(1000))

def run():
  print('not an answer')
  many = [threading.Thread(target=burn) for _ in range(2)]
  [thread.start() for thread in many]
  [thread.join() for thread in many]

facts = {'cores': len(os.sched_getaffinity(0)), 'omp': os.environ['OMP_NUM_THREADS']}
serving.serve(lambda: (run, facts))
"""


def test_contestants_take_turns_on_their_own_cores(tmp_path, monkeypatch):
  """One core is one core, for threads too; what a contestant prints is no answer."""
  (tmp_path / 'echo.py').write_text(ECHO)
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  steps = []
  before = contest.usable_cores()
  entry = contest.Entry('one', 'echo', ())
  found = contest.compete([entry], rounds=2, advance=lambda: steps.append(1))['one']
  assert contest.usable_cores() == before
  assert (found.facts['cores'], found.facts['omp']) == (1, '1')
  assert len(found.samples) == 2
  assert len(steps) == 3
  assert all(0.1 < sample.cpu <= 1.05 * sample.wall for sample in found.samples)


def test_a_contestant_that_fails_is_named(tmp_path, monkeypatch):
  """Not waited for."""
  (tmp_path / 'fails.py').write_text('raise SystemExit(3)')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  with pytest.raises(RuntimeError, match='the contestant one ended with status 3'):
    contest.compete([contest.Entry('one', 'fails', ())], rounds=1, advance=lambda: None)
