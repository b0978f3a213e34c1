"""Growth of a sweep is measured once for each size, also after an interruption."""

import csv

import pytest

from experiments.studies import sweep_times
from tests.experiments.tiny import finish, mistaken, refused, start

SIZES = [(1, 1, 100), (1, 4, 100), (1, 1, 1000)]
MORE = [*SIZES, (2, 1, 100)]


def test_every_size_is_measured_and_none_twice(tmp_path, monkeypatch):
  """A quarter of an hour must not be lost to an interruption, nor be counted as none."""
  measured = []

  def measure(out, devices, cells, trials):
    measured.append((devices, cells, trials))
    return sweep_times.Point(devices, cells, trials, 1.0, 0.5, 0.25)

  monkeypatch.setattr(sweep_times, 'measure', measure)
  first = sweep_times.measure_all(tmp_path, SIZES)
  assert sweep_times.measure_all(tmp_path, MORE) == [*first, (2, 1, 100, 1.0, 0.5, 0.25)]
  assert measured == MORE


@pytest.mark.slow
def test_a_sweep_is_measured_from_start_to_end(tmp_path):
  """The real thing, at its smallest."""
  point = sweep_times.measure(tmp_path / 'out', 1, 2, 4)
  assert point[:3] == (1, 2, 4)
  assert 0 < point.trial_seconds < point.wall_seconds
  assert list(tmp_path.iterdir()) == []


# What was typed, and what the line must say.
MISTAKES = {
  '--trials=abc': r"--trials=abc: 'abc' is not a whole number of at least 2, such as 100",
  '--trials=10,2.5': r"--trials=10,2.5: '2.5' is not a whole number",
  '--trials=1': r"--trials=1: '1' is not a whole number of at least 2",
  '--cells=0': r"--cells=0: '0' is not a whole number of at least 1, such as 1",
  '--devices=two': r"--devices=two: 'two' is not a whole number of at least 1",
  '--devices=-1': r"--devices=-1: '-1' is not a whole number of at least 1",
  '--tasks=8,,32': r"--tasks=8,,32: '' is not a whole number of at least 1, such as 8",
  '--tasks=0': r"--tasks=0: '0' is not a whole number of at least 1",
  '--simulated_cells=0': r'--simulated_cells=0',
  '--cell_seconds=-1': r'--cell_seconds=-1',
  '--operation=-1': r'--operation=-1',
  '--seed=-1': r'--seed=-1',
  '--cell_seconds=inf': r'cell_seconds must be .* at most 2,592,000 seconds, not inf',
  '--operation=nan': r'operation must be .* at least 0, not nan',
  '--simulated_cells=4000000000': r'at most 10,000,000 cells',
  '--tasks=4000000000': r'--tasks=4000000000 must be .* at most 100,000 tasks',
  f'--trials={10**23}': r'must be .* at most 10,000,000 trials',
  f'--cells={"9" * 5000}': r'must be .* at most 200,000 cells',
}


@pytest.fixture(scope='module')
def said(tmp_path_factory):
  """The end of the command after each mistake; none may leave a folder."""
  folder = tmp_path_factory.mktemp('mistakes') / 'out'
  ended = mistaken('scaling', [[f'--output_dir={folder}', typed] for typed in MISTAKES])
  assert not folder.exists()
  return dict(zip(MISTAKES, ended, strict=True))


@pytest.mark.parametrize('typed', MISTAKES)
def test_a_mistake_is_one_line(said, typed):
  """A quarter of an hour later, or as a traceback, it would help nobody."""
  refused(said[typed], MISTAKES[typed], program='scaling')


@pytest.mark.parametrize('known', [[], [sweep_times.Point(1, 1, 100, 9.0, 1.0, 2.0)]])
def test_without_devices_it_only_simulates(tmp_path, known):
  """The scheduler of another cluster, say, in a second; what was measured stays."""
  (tmp_path / 'growth.csv').write_text(sweep_times.table(known))
  typed = ['--devices=', '--tasks=8,16', '--simulated_cells=200', f'--output_dir={tmp_path}']
  ended = finish(start(typed, module='scaling'))
  assert ended.status == 0, ended.err
  with (tmp_path / 'tasks.csv').open(newline='') as file:
    assert [line['tasks'] for line in csv.DictReader(file)] == ['8', '16']
  assert (tmp_path / 'growth.csv').read_text() == sweep_times.table(known)
  assert (tmp_path / 'scaling.png').exists()
