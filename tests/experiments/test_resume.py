"""The same command on the same folder goes on where it was, and ends where it would have."""

import json
import time

import jax
import pytest

from experiments.store import cells as cells_module
from experiments.store import checked_json
from experiments.store.cells import finished, read_cells
from experiments.sweeping import worker
from mamljax.errors import InputError
from tests.experiments.tiny import (
  GRID,
  arguments,
  cells,
  finish,
  refused,
  rows,
  run,
  scores,
  start,
  write_npz,
)


@pytest.fixture
def computed(monkeypatch) -> list[str]:
  """The noise scale and TV weight of each cell that is computed, in order."""
  seen, real = [], worker.run_cell

  def spy(cell, **options):
    seen.append(cell)
    return real(cell, **options)

  monkeypatch.setattr(worker, 'run_cell', spy)
  return seen


def again(sweep_run, **options):
  """The same command as the finished sweep's, perhaps with other options."""
  ended = run(arguments(sweep_run.npz, sweep_run.folder, **GRID | options))
  assert ended.status == 0, ended.err
  return ended


def ages(folder) -> dict[str, int]:
  """When each cell file was written."""
  return {path.name: path.stat().st_mtime_ns for path in (folder / 'cells').iterdir()}


def test_a_finished_sweep_is_not_computed_again(copied, computed):
  """A day of computing must not be repeated because its table is wanted once more."""
  csv, before = (copied.folder / 'results.csv').read_bytes(), ages(copied.folder)
  ended = again(copied)
  assert computed == []
  assert ages(copied.folder) == before
  assert (copied.folder / 'results.csv').read_bytes() == csv
  assert ended.out.splitlines()[:-1] == copied.ended.out.splitlines()[:-1]


def test_a_lost_cell_is_computed_again_and_it_alone(copied, computed):
  """Bit for bit the same: a result is a function of configuration and seed."""
  before, written = scores(copied.folder), ages(copied.folder)
  expected = rows(copied.folder)
  (copied.folder / 'cells' / f'{expected[3]["hash"]}.json').unlink()
  again(copied)
  assert [str(cell.attack.tv_weight) for cell in computed] == [
    expected[3]['reconstruction.tv_weight']
  ]
  assert scores(copied.folder) == before
  assert rows(copied.folder) == expected
  changed = {name for name, age in ages(copied.folder).items() if age != written[name]}
  assert changed == {f'{expected[3]["hash"]}.json'}


def test_a_damaged_cell_is_named_set_aside_and_computed_again(copied, computed, caplog):
  """A flipped digit must neither be reported nor destroy the evidence."""
  expected, before = rows(copied.folder), scores(copied.folder)
  path = copied.folder / 'cells' / f'{expected[5]["hash"]}.json'
  damaged = path.read_text().replace('"accuracy"', '"accuracx"', 1).encode()
  path.write_bytes(damaged)
  again(copied)
  assert len(computed) == 1
  assert f'{path} is damaged' in caplog.text
  assert path.with_name(f'{path.name}.damaged').read_bytes() == damaged
  assert rows(copied.folder) == expected
  assert scores(copied.folder) == before


def test_a_larger_grid_computes_only_what_is_new(copied, computed):
  """Results are kept by configuration, not by command; what it took is the new command's."""
  path = copied.folder / 'run.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | {'seconds': 1e6}))
  again(copied, noise_scales='0.01,0.1,0.2', tv_weight='0.001,0.01')
  assert {cell.defence.scale for cell in computed} == {0.2}
  assert len(computed) == 4
  assert [row['noise_scale'] for row in rows(copied.folder)] == 2 * [
    *('0.01', '0.01', '0.1', '0.1', '0.2', '0.2')
  ]
  assert json.loads(path.read_text())['seconds'] < 1e6


def test_another_grid_on_the_same_store_computes_only_what_is_new(copied, computed):
  """It has a folder of its own for its table, and the finished cells of the other."""
  told = {'tv_weight': '0.001,0.1', 'noise_scales': '0.1', 'store_dir': copied.folder}
  other = copied._replace(folder=copied.folder.parent / 'other')
  again(other, **told)
  assert [(cell.defence.scale, cell.attack.tv_weight) for cell in computed] == [(0.1, 0.1)] * 2
  assert [row['reconstruction.tv_weight'] for row in rows(other.folder)] == ['0.001', '0.1'] * 2


def test_an_interrupted_sweep_keeps_what_is_finished(finished, tmp_path, monkeypatch):
  """After Ctrl-C the cells done so far are in results.csv, and only the rest is to do."""
  folder, real, done = tmp_path / 'out', worker.run_cell, []

  def interrupt(cell, **options):
    if len(done) == 2:
      raise KeyboardInterrupt
    done.append(cell)
    return real(cell, **options)

  with monkeypatch.context() as patch:
    patch.setattr(worker, 'run_cell', interrupt)
    assert run(arguments(finished.npz, folder, **GRID)).status == 130
  assert rows(folder) == rows(finished.folder)[:2]
  again(finished._replace(folder=folder))
  assert rows(folder) == rows(finished.folder)
  assert scores(folder) == scores(finished.folder)


def test_a_failing_cell_leaves_no_result_of_itself(finished, tmp_path, monkeypatch):
  """Half a cell under a finished cell's name would be taken for a result."""
  folder = tmp_path / 'out'

  def fail(*_, **__):
    raise RuntimeError('lost the device')

  monkeypatch.setattr(worker, 'run_cell', fail)
  ended = run(arguments(finished.npz, folder, **GRID))
  assert ended.status == 2
  kept = {path.parent.name for path in folder.rglob('*') if path.is_file()}
  assert kept == {'failures', 'out'}
  assert [path.name for path in folder.glob('*.*')] == ['plan.json']


def test_a_killed_sweep_resumes_on_other_devices(finished, tmp_path):
  """SIGKILL leaves whole cells only, and two devices give the bits that one gives."""
  folder = tmp_path / 'out'
  process = start(arguments(finished.npz, folder, **GRID), devices=2)
  try:
    while not list(folder.glob('cells/*.json')) and process.poll() is None:
      time.sleep(0.005)
  finally:
    process.kill()
  ended = finish(process)
  assert ended.status == -9, ended.err
  kept = cells(folder)
  assert 0 < len(kept) < 8
  assert all(content['timings']['devices'] == 2 for content in kept.values())
  again(finished._replace(folder=folder))
  assert rows(folder) == rows(finished.folder)
  assert scores(folder) == scores(finished.folder)
  assert not list(folder.rglob('*.damaged'))


def test_a_cell_of_the_old_layout_is_named_as_such(copied):
  """Its fields lay side by side: to read them as others would be worse than to refuse."""
  (name, *_), folder = sorted(finished(copied.folder)), copied.folder / 'cells'
  content = json.loads((folder / f'{name}.json').read_text())
  del content['checksum']
  content['configuration'] = {'dataset': 'mnist', 'attack': 'row_space', 'iterations': 100}
  (folder / f'{name}.json').write_text(checked_json.document(content))
  with pytest.raises(InputError, match=f'{name}.json is of an older layout of cells'):
    read_cells(copied.folder, [name])
  assert cells_module.glance(copied.folder, name) is None


def test_another_file_under_the_same_name_is_attacked_anew(copied, computed):
  """The old results are true of the old images alone."""
  write_npz(copied.npz.with_name('other.npz'), per_class=21)
  before, table = copied.npz.read_bytes(), (copied.folder / 'results.csv').read_bytes()
  one = {'tv_weight': 0.001, 'noise_scales': 0.1, 'inner_learning_rates': 0.1}
  try:
    copied.npz.write_bytes(copied.npz.with_name('other.npz').read_bytes())
    refused(run(arguments(copied.npz, copied.folder, **GRID | one)), 'holds 8 cells')
    again(copied, tv_weight='0.001,0.01')
  finally:
    copied.npz.write_bytes(before)
  assert len(computed) == 8
  assert (copied.folder / 'results.csv.replaced').read_bytes() == table
  assert (copied.folder / 'run.json.replaced').exists()
  assert rows(copied.folder)[0]['fingerprint'] == computed[0].data.fingerprint != ''


def test_the_same_images_in_another_file_are_the_same_cell(copied, computed, tmp_path):
  """A folder that was moved made hours of finished cells anew, though content was to count."""
  moved = tmp_path / 'moved.npz'
  moved.write_bytes(copied.npz.read_bytes())
  expected = rows(copied.folder)
  again(copied._replace(npz=moved))
  assert computed == []
  assert rows(copied.folder) == [line | {'dataset': f'npz:{moved}'} for line in expected]


@pytest.mark.parametrize(
  ('name', 'other'), [('jax_threefry_partitionable', False), ('jax_default_prng_impl', 'rbg')]
)
def test_trials_do_not_depend_on_the_environments_generator(copied, computed, name, other):
  """JAX_DEFAULT_PRNG_IMPL=rbg gave other scores under the names of the first ones."""
  expected, before = rows(copied.folder), jax.config.values[name]
  (copied.folder / 'cells' / f'{expected[0]["hash"]}.json').unlink()
  try:
    jax.config.update(name, other)
    ended = again(copied)
  finally:
    jax.config.update(name, before)
  assert len(computed) == 1
  assert rows(copied.folder) == expected
  assert f'{name}={other} is not used' in ended.err


def test_cells_of_other_code_are_computed_anew_and_kept(copied, computed, monkeypatch):
  """An edit between two runs must not give out old scores as new ones, nor lose them."""
  before = cells(copied.folder)
  monkeypatch.setattr('experiments.process.provenance.source_key', lambda: 'edited')
  other = copied._replace(folder=copied.folder.parent / 'other')
  one = {'tv_weight': 0.001, 'noise_scales': 0.1, 'inner_learning_rates': 0.1}
  again(other, store_dir=copied.folder, **one)
  assert len(computed) == 1
  after = cells(copied.folder)
  assert len(after) == len(before) + 1
  assert {name: after[name] for name in before} == before
