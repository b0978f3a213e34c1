"""The table at the end of a sweep: legible, complete, and no wider than a terminal."""

import dataclasses

import pytest

from experiments.analysis.tables import format_table
from experiments.config.columns import configuration
from experiments.store.cells import CellResult, Trials
from mamljax.audit.metrics import Metrics, Rate
from tests.experiments.configurations import make

CELL = {'ways': 5, 'trials': 100}
RATE = Rate(0.97, 0.931, 0.989)


def make_result(**changes):
  return CellResult(
    configuration=configuration(make(**CELL | changes)),
    seed=0,
    versions={},
    git_revision=None,
    device_kind='cpu',
    timings={'seconds_per_trial': 0.1, 'compile_seconds': 1.0},
    metrics=Metrics(RATE, RATE, None, Rate(0.99812, 0.995, 1.0), None, None, 0.5),
    trials=Trials([], [], [], []),
    calibration=Trials([], [], [], []),
  )


TABLE = """
rate [95 % interval]  accuracy            recall              precision   AUC
--------------------------------------------------------------------------------------------
mnist_sample          0.970 [0.93, 0.99]  0.970 [0.93, 0.99]  -           0.998 [0.99, 1.00]
5-way 1-shot query    paper 0.95          paper 0.98          paper 0.92  -
mnist_sample          0.970 [0.93, 0.99]  0.970 [0.93, 0.99]  -           0.998 [0.99, 1.00]
4-way 1-shot support  -                   -                   -           -
"""


def test_the_table_as_the_user_sees_it():
  """Ours with intervals, the paper's below; '-' for what does not exist."""
  results = [make_result(), make_result(ways=4, target='support')]
  assert format_table(results) == TABLE.strip()


def test_fits_in_100_columns():
  """A wrapped table is no table: the longest names of Tables I and II."""
  result = make_result(dataset='fashion_mnist_sample', target='support')
  result = dataclasses.replace(result, metrics=result.metrics._replace(precision=RATE))
  widest = max(map(len, format_table([result]).splitlines()))
  assert widest == 100


def test_a_path_is_cut_from_the_left():
  """The end of a path tells data sets apart; the width must hold."""
  text = format_table([make_result(dataset='npz:/home/someone/data/flowers.npz')])
  assert '.../data/flowers.npz' in text
  assert max(map(len, text.splitlines())) <= 100


def test_only_what_varies_is_repeated():
  """Two cells that look alike would be mistaken for each other; constants are noise."""
  lines = format_table([make_result(), make_result(order=1, epoch=5)]).splitlines()
  assert lines[4] == '  order=2 epoch=0'
  assert lines[7] == '  order=1 epoch=5'
  assert 'network' not in '\n'.join(lines)


@pytest.mark.parametrize('count', [0, 1, 3])
def test_a_cell_after_another(count):
  """A sweep stopped before its first cell still ends with a (bare) table."""
  lines = format_table([make_result() for _ in range(count)]).splitlines()
  assert len(lines) == 2 + 2 * count
