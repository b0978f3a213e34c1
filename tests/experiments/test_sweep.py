"""A sweep from the command line to its files: what is written is what was played."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from experiments.process import provenance
from tests.experiments.tiny import GRID, OPTIONS, arguments, cells, rows, run, write_npz

# As later work reads them: issue 2, "Interfaces".
COLUMNS = (
  'dataset,network,ways,shots,target,attack,order,inner_steps,inner_learning_rate,epoch,'
  'defence,noise_scale,iterations,trials,accuracy,accuracy_low,accuracy_high,recall,'
  'precision,auc,auc_low,auc_high,tpr_at_fpr_1pct,tpr_at_fpr_0.1pct,threshold,'
  'seconds_per_trial,compile_seconds,paper_accuracy,paper_recall,paper_precision'
)


def ordered_cells(finished) -> list[dict]:
  """The cell files in the order of the rows."""
  found = cells(finished.folder)
  return [found[row['hash']] for row in rows(finished.folder)]


def test_results_begin_with_the_agreed_columns(finished):
  """Whoever reads results.csv relies on these."""
  header = (finished.folder / 'results.csv').read_text().splitlines()[0]
  assert header.startswith(f'{COLUMNS},')


def test_rows_stand_in_grid_order(finished):
  """The order of the flags in the issue, the last varying fastest."""
  names = ['inner_learning_rate', 'noise_scale', 'reconstruction.tv_weight']
  found = [tuple(row[name] for name in names) for row in rows(finished.folder)]
  assert found == list(itertools.product(*(values.split(',') for values in GRID.values())))


def test_a_cell_file_says_how_its_numbers_came_about(finished):
  """A number that cannot be traced to code, machine and seed cannot be checked."""
  for content in ordered_cells(finished):
    assert content['configuration']['data']['dataset'] == f'npz:{finished.npz}'
    assert content['configuration']['game']['trials'] == OPTIONS['trials']
    assert content['seed'] == content['configuration']['seed'] == 0
    assert content['versions'] == provenance.versions()
    if provenance.git_revision():
      assert re.fullmatch(r'[0-9a-f]{40}(-dirty)?', content['git_revision'])
    assert content['device_kind'] == 'cpu'
    assert content['timings']['seconds_per_trial'] > 0
    assert content['timings']['compile_seconds'] >= 0


def test_every_trial_is_kept_half_of_them_members(finished):
  """The metrics of later work are computed from these lists."""
  for content in ordered_cells(finished):
    for phase, count in (('trials', 8), ('calibration', 4)):
      played = content[phase]
      assert len(played['scores']) == len(set(played['tasks'])) == count
      assert sum(played['members']) == count // 2
      assert all(math.isfinite(score) and score <= 1.000001 for score in played['scores'])
    assert not set(content['trials']['scores']) & set(content['calibration']['scores'])


def test_the_threshold_is_the_best_on_calibration_trials(finished):
  """Chosen on the trials that are reported, it would flatter every attack."""
  for content in ordered_cells(finished):
    tried, truth = (np.array(content['calibration'][name]) for name in ('scores', 'members'))
    threshold = content['metrics']['threshold']
    cuts = [-math.inf, *tried]
    best = max(np.mean((tried > cut) == truth) for cut in cuts)
    assert np.mean((tried > threshold) == truth) == best


def test_the_metrics_are_those_of_the_reported_trials(finished):
  """By hand from the lists, and the same in results.csv."""
  for row, content in zip(rows(finished.folder), ordered_cells(finished), strict=True):
    said, truth = (np.array(content['trials'][name]) for name in ('scores', 'members'))
    called = said > content['metrics']['threshold']
    assert float(row['accuracy']) == np.mean(called == truth)
    assert float(row['recall']) == np.mean(called[truth])
    precision = str(np.mean(truth[called])) if called.any() else ''
    assert row['precision'] == precision
    wins = said[truth][:, None] - said[~truth]
    assert float(row['auc']) == pytest.approx(np.mean((wins > 0) + (wins == 0) / 2))
    for name in ('accuracy', 'auc'):
      low, value, high = (float(row[name + end]) for end in ('_low', '', '_high'))
      assert low <= value <= high
    assert float(row['threshold']) == content['metrics']['threshold']


def test_what_the_trials_cannot_say_is_left_empty(finished):
  """Four non-members express no rate of 1 %, and the paper prints nothing for noise images."""
  names = ['tpr_at_fpr_1pct', 'tpr_at_fpr_0.1pct', 'paper_accuracy', 'paper_precision']
  assert all(row[name] == '' for row in rows(finished.folder) for name in names)


def test_cells_that_differ_in_numbers_compile_once(finished):
  """Compiling takes longer than computing: eight times would make a sweep unusable."""
  _, *later = (content['timings'] for content in ordered_cells(finished))
  assert [timings['compile_seconds'] for timings in later] == [0] * 7


def test_cells_differ_in_what_they_found(finished):
  """A number of the configuration that does not reach the attack changes nothing."""
  found = [tuple(content['trials']['scores']) for content in ordered_cells(finished)]
  assert len(set(found)) == len(found)


def test_the_sweep_ends_with_a_table_and_where_the_results_are(finished):
  """What a user sees first."""
  out = finished.ended.out
  table = [line for line in out.splitlines() if not line.startswith('{')]  # a line a minute
  assert table[0].startswith('rate [95 % interval]')
  for word in ('accuracy', 'recall', 'precision', 'AUC', '2-way 1-shot query', 'noise_scale='):
    assert word in out
  assert str(finished.folder / 'results.csv') in out.splitlines()[-1]
  (picture,) = finished.folder.glob('*.png')
  assert picture.read_bytes().startswith(b'\x89PNG')


def test_a_progress_bar_tells_the_time_left(finished):
  """Half an hour without a sign of life looks like a crash."""
  assert '100%' in finished.ended.err
  assert '<' in finished.ended.err  # elapsed<remaining


def test_cell_files_are_json_of_the_standard(finished):
  """NaN and Infinity are read by Python alone."""
  for path in (finished.folder / 'cells').iterdir():
    assert path.suffix == '.json'
    json.loads(path.read_bytes(), parse_constant=pytest.fail)


def test_dry_run_prints_the_cells_and_stops(tmp_path):
  """One looks before one leaps: nothing may be computed or written."""
  npz = write_npz(tmp_path / 'tiny.npz')
  ended = run([*arguments(npz, tmp_path / 'out', **GRID), '--dry_run'])
  *lines, total = ended.out.splitlines()
  assert ended.status == 0
  assert len(lines) == 8
  assert re.match(r'8 cells: [\d.e-]+ s, [\d.]+ GiB, on one device \(a guess', total)
  assert len(set(lines)) == 8
  assert all('2-way 1-shot query reconstruction' in line for line in lines)
  assert list(tmp_path.iterdir()) == [npz]
