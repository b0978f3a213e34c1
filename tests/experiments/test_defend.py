"""A choice of defences by one command: what a user types, reads, and goes on from."""

import csv
import json
import re
import time
from typing import Any

import numpy as np
import pytest

from experiments.auditing import defences
from experiments.auditing.learning import InTime
from mamljax import Defence, DPGaussian, Gaussian, InputError
from mamljax.audit.metrics import Rate
from tests.experiments import own_model
from tests.experiments.test_audits import MODEL, run

SIZES = ['--data=npz:x.npz', '--ways=3', '--trials=8', '--training_rounds=2']
GRID = ['--epsilons=1000000', '--attacks=noise_filter', '--output_dir=out']


@pytest.fixture
def folder(tmp_path):
  """A folder with data in `x.npz`."""
  inputs, labels = own_model.examples(count=40)
  np.savez(tmp_path / 'x.npz', inputs=inputs, labels=labels)
  return tmp_path


@pytest.mark.slow
def test_a_defence_is_chosen_by_one_command_that_goes_on(folder):
  """Else the screen, the page and the rows differ, or a second run pays for all again."""
  shown, times = [], []
  for _ in range(2):
    begin = time.monotonic()
    result = run('defend', MODEL, *SIZES, *GRID, cwd=folder)
    times.append(time.monotonic() - begin)
    assert result.returncode == 0, result.stderr
    shown.append(result.stdout)
  assert shown[0] == shown[1]
  assert times[1] < times[0]
  assert 'None of these 2 defences holds what was asked.' in shown[0]
  rows = [*csv.DictReader((folder / 'out/defences.csv').read_text().splitlines())]
  assert [row['defence'] for row in rows] == ['none', 'epsilon 8', 'epsilon 1e+06']
  assert float(rows[1]['guaranteed_epsilon']) == pytest.approx(8)
  assert all(float(row['learning']) > 0 for row in rows)
  told = json.loads((folder / 'out/defend.json').read_text())
  assert told['advice']['chosen'] is None
  assert [row['learning'] for row in told['defences']] == [float(r['learning']) for r in rows]
  page = (folder / 'out/defend.html').read_text()
  assert '<svg' in page
  assert told['advice']['answer'] in page


def test_what_cannot_be_compared_is_refused_before_anything_is_played(folder):
  """Else a mistake is found after the hours that the comparison took."""
  result = run('defend', MODEL, *SIZES, '--defences=0.1*qery_noise', cwd=folder)
  assert result.returncode == 2
  assert "unknown defence 'qery_noise': did you mean 'query_noise'" in result.stderr
  assert result.stderr.count('\n') == 1
  assert not (folder / 'defend').exists()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'epsilons': ['8', 'strong']}, "--epsilons: 'strong' is not a finite number above 0"),
    ({'epsilons': ['-1']}, "--epsilons: '-1' is not a finite number above 0"),
    ({'named': ['dp_gaussian']}, '--defences=dp_gaussian is compared already'),
    ({'named': ['none']}, '--defences=none is compared already'),
    ({'clip': 0.0}, 'clip must be a finite number above 0'),
    ({'delta': 0.0}, 'delta must be above 0 and below 1'),
    ({'epsilon': 1e-6, 'clip': 1e35}, 'cannot be reached'),
  ],
)
def test_a_grid_that_cannot_be_is_refused_in_one_line(options, message):
  """A line with the value says what to mend; a traceback does not."""
  with pytest.raises(InputError, match=re.escape(message)) as refused:
    grid(**options)
  assert '\n' not in str(refused.value)


def grid(**options):
  """The defences of some flags."""
  usual = {'epsilon': 8.0, 'delta': 1e-5, 'rounds': 1, 'clip': 0.5, 'epsilons': [], 'named': []}
  return defences.grid(**{**usual, **options})


def test_the_usual_grid_is_of_guarantees_about_the_one_that_is_asked():
  """Noise that is calibrated for one round promises too much over ten."""
  for rounds in (1, 10):
    found = grid(rounds=rounds)
    assert [*found] == [f'epsilon {e:g}' for e in (1, 8, 64, 512, 4096)]
    for target, one in zip((1, 8, 64, 512, 4096), found.values(), strict=True):
      assert isinstance(one, DPGaussian)
      assert one.clip == 0.5
      assert one.epsilon(1e-5, rounds=rounds) == pytest.approx(target)


def test_defences_by_name_have_their_deviations_and_the_asked_guarantee():
  """Else another defence is measured than was named."""
  found = grid(epsilons=['2'], named=['0.1*query_noise', '0.2*support_noise+dp_gaussian'])
  assert [*found][:2] == ['epsilon 2', 'epsilon 8']
  assert found['0.1*query_noise'] == Defence(query=Gaussian(0.1))
  both = found['0.2*support_noise+dp_gaussian']
  assert both.epsilon(1e-5) == pytest.approx(8)
  assert isinstance(both, Defence)
  assert both.support == Gaussian(0.2)


class Slow:
  """A measure of learning that takes a second of a clock of its own."""

  def __init__(self, monkeypatch):
    self.now = 0.0
    monkeypatch.setattr('experiments.auditing.learning.time.monotonic', lambda: self.now)

  def kept(self, defence):
    return Rate(0.5, 0.4, 0.6) if defence == 'kept' else None

  def __call__(self, defence):
    self.now += 1.0
    return Rate(0.9, 0.8, 1.0)


def test_learning_is_measured_as_long_as_there_is_time(monkeypatch):
  """Else a budget is none; but no loss is known without that of no defence."""
  slow: Any = Slow(monkeypatch)
  within: Any = InTime(slow, seconds=4.0, defences=4)
  found = [within(defence) for defence in (None, 'a', 'kept')]
  assert found == [Rate(0.9, 0.8, 1.0), Rate(0.9, 0.8, 1.0), Rate(0.5, 0.4, 0.6)]
  slow.now = 3.5
  assert within('b') is None
  assert within.late == 1
  assert InTime(slow, seconds=1e-9, defences=4)(None) == Rate(0.9, 0.8, 1.0)
