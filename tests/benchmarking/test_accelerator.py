"""`python -m benchmarks.accelerator` measures, and whatever goes wrong costs one row."""

import subprocess
import sys

import pytest

from benchmarks.accelerator import plan, schedule, summary, watching
from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import QUICK
from benchmarks.accelerator.worker import measure
from tests.experiments.tiny import ROOT

# A worker that hangs in its first measurement and dies in its second.
WORKER = """
import json, pathlib, sys, time
from benchmarks.accelerator import schedule
from benchmarks.accelerator.ledger import Ledger
folder = pathlib.Path(json.loads(sys.argv[1])['folder'])
done = {name for _, name in Ledger(folder).names()}
if 'hangs' not in done:
  schedule.write(folder, schedule.Now('peaks', 'hangs', time.time() + 0.1))
  time.sleep(60)
if 'dies' not in done:
  schedule.write(folder, schedule.Now('peaks', 'dies', time.time() + 60))
  sys.exit(3)
Ledger(folder).add({'section': 'peaks', 'name': 'works'})
"""


def test_what_hangs_or_dies_costs_its_own_row(tmp_path):
  """On a rented machine one slow compilation would else be the end of all measurements."""
  worker = (sys.executable, '-c', WORKER)
  assert watching.watch(tmp_path, {}, seconds=60, worker=worker) == ''
  found = {row['name']: row['failure'] for row in Ledger(tmp_path).rows()}
  assert list(found) == ['hangs', 'dies', 'works']
  assert 'its time was used up' in found['hangs']
  assert 'status 3' in found['dies']
  assert schedule.read(tmp_path) is None


def test_a_worker_that_never_starts_is_not_started_for_ever(tmp_path):
  """Else a machine without JAX would be rented until someone looks."""
  worker = (sys.executable, '-c', 'import sys; sys.exit(1)')
  ended = watching.watch(tmp_path, {}, seconds=60, worker=worker)
  assert ended == 'the worker ended with status 1 before it measured anything'


def test_an_error_is_a_row_and_the_best_is_of_what_ran(tmp_path):
  """One row without memory, or an operation, costs the others nothing."""
  ledger = Ledger(tmp_path)

  def fail(context):
    raise MemoryError('RESOURCE_EXHAUSTED:\n out of memory')

  for name, run in (('a/1', fail), ('a/2', lambda context: {'per_second': 2.0}), ('a/3', fail)):
    row = measure(Measurement(name, run), Context(QUICK, ledger, 1.0))
    ledger.add({'section': 'reconstruction', 'name': name} | row)
  found = ledger.rows()
  assert found[0]['failure'] == 'MemoryError: RESOURCE_EXHAUSTED: out of memory'
  assert all(row['device'] and row['jax'] for row in found)
  assert ledger.best('reconstruction', 'a/')['name'] == 'a/2'
  assert '2 without a figure' in summary.format_rows(found)


@pytest.mark.slow
def test_it_runs_in_small(tmp_path):
  """It rots unseen until the day that a card is at hand for a quarter of an hour."""
  options = ['--quick', '--cache', '--seconds=1800', f'--output_dir={tmp_path}/out']
  command = [sys.executable, '-m', 'benchmarks.accelerator', *options]
  ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
  rows = Ledger(tmp_path / 'out_quick').rows()
  assert not [row for row in rows if row['failure']], ended.stdout
  assert {row['section'] for row in rows} >= {*plan.SECTIONS} - {'peers'}
  errors = {row['name']: float(row['error']) for row in rows if row['error']}
  # The signed steps of a reconstruction amplify the rounding of another CPU.
  assert max(errors.values()) < 0.05, errors
  assert all(e < 1e-3 for name, e in errors.items() if 'reconstruction' not in name), errors
  assert errors['repeat'] == 0
  assert '0 without a figure' in ended.stdout
