"""What is published in a folder stays there, and what is kept elsewhere is found from there."""

import json
import os

import pytest

from experiments import status, train
from experiments.reporting.results_folder import read_run
from experiments.store import cells, runs
from experiments.sweeping import cost, plan, worker
from mamljax import atomic
from mamljax.errors import InputError
from tests.experiments.reported import make_result, tree, write_run
from tests.experiments.tiny import GRID, arguments, refused, run

RESULT = make_result(trials=4, calibration_trials=2)
CELL = RESULT.cell


@pytest.mark.parametrize(
  'changes',
  [
    {'tv_weight': '0.5'},
    {'tv_weight': '0.001'},  # a part of it: the table would shrink
    {'tv_weight': '0.001,0.5'},
    {'seed': 1},
    {'dry_run': True},
  ],
)
def test_a_second_configuration_on_a_folder_is_refused(copied, changes):
  """It replaced results.csv, pictures and run.json without a word."""
  before = tree(copied.folder)
  other = {'tv_weight': '0.5'} if 'dry_run' in changes else {}
  ended = run(arguments(copied.npz, copied.folder, **GRID | other | changes))
  refused(ended, rf'{copied.folder} holds \d cells .* python -m experiments.sweep --networks')
  assert f'another --output_dir (with --store_dir={copied.folder} ' in ended.err
  assert tree(copied.folder) == before


def test_a_table_of_an_interrupted_command_is_not_replaced_either(copied):
  """There is no run.json yet, and there are hours of computing in the table."""
  (copied.folder / 'run.json').unlink()
  ended = run(arguments(copied.npz, copied.folder, **GRID | {'tv_weight': '0.5'}))
  refused(ended, r'holds 8 cells .* python -m experiments.sweep --networks')
  (copied.folder / 'results.csv').write_text('of,something\nelse,1\n')
  ended = run(arguments(copied.npz, copied.folder, **GRID))
  refused(ended, 'results.csv is not a table written by mamljax')


def test_two_sweeps_at_once_do_not_write_over_each_other(copied, monkeypatch):
  """Each had found an empty folder, and whichever ended last took the table."""
  theirs = (copied.folder / 'results.csv').read_bytes()
  mine = copied.folder.parent / 'mine'
  begin = worker.Worker.work

  def meanwhile(*arguments):
    (mine / 'results.csv').write_bytes(theirs)
    begin(*arguments)

  monkeypatch.setattr(worker.Worker, 'work', meanwhile)
  ended = run(arguments(copied.npz, mine, tv_weight='0.5', trials=2, calibration_trials=2))
  assert ended.status == 2
  assert ended.err.splitlines()[-1].startswith('sweep: another command, or one of other data')
  assert (mine / 'results.csv').read_bytes() == theirs
  assert len(cells.finished(mine)) == 1


def test_another_command_on_a_folder_is_refused(tmp_path):
  """train in the folder of a sweep left a run.json that says it trained, and no table of it."""
  write_run(tmp_path, 'sweep')
  ended = run([f'--output_dir={tmp_path}'], main=train.main)
  refused(ended, 'holds the results of another command', program='train')
  assert [path.name for path in tmp_path.iterdir()] == ['run.json']


def test_tables_of_another_command_of_the_kind_are_kept(tmp_path, monkeypatch, caplog):
  """Those of other commands than sweeps do not grow, so both are kept."""
  monkeypatch.setattr('sys.argv', ['train.py', '--epochs=1'])
  atomic.write_text(tmp_path / 'learning.csv', 'of one epoch')
  first = runs.write_run(tmp_path)
  runs.begin(tmp_path, 'learning.csv')
  assert runs.write_run(tmp_path).seconds > first.seconds  # resumed
  monkeypatch.setattr('sys.argv', ['train.py', '--epochs=2'])
  runs.begin(tmp_path, 'learning.csv')
  assert {path.name for path in tmp_path.iterdir()} == {
    'learning.csv.replaced',
    'run.json.replaced',
  }
  assert 'kept as learning.csv.replaced' in caplog.text


def test_the_seconds_of_another_command_are_not_added(tmp_path, monkeypatch):
  """Two configurations on one folder were said to have taken what both took."""
  monkeypatch.setattr('sys.argv', ['sweep.py', '--ways=2', '--shard=0', '--num_shards=2'])
  runs.write_run(tmp_path, cells=[CELL])
  path = tmp_path / 'run.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | {'seconds': 1e6}))
  monkeypatch.setattr('sys.argv', ['sweep.py', '--ways=2', '--shard', '1', '--num_shards=2'])
  told = runs.write_run(tmp_path, cells=[CELL])
  assert told.seconds > 1e6  # the other task of one sweep
  assert told.command == 'python -m experiments.sweep --ways=2'
  monkeypatch.setattr('sys.argv', ['sweep.py', '--ways=2,3'])
  assert runs.write_run(tmp_path, cells=[CELL]).seconds < 1e6


def test_a_store_is_found_from_a_folder_that_is_a_link(tmp_path):
  """Status said 0 of 1 done, and the report could not read home/out/../store."""
  (tmp_path / 'disk' / 'deep').mkdir(parents=True)
  (tmp_path / 'home').mkdir()
  out, store = tmp_path / 'home' / 'out', tmp_path / 'home' / 'store'
  out.symlink_to(tmp_path / 'disk' / 'deep')
  cells.write_cell(store, RESULT)
  plan.write(out, store, [CELL], cost.fit([]))
  assert status.report(out, lease=60)[0].startswith('1 of 1 cells done')
  made = runs.write_run(out, store_dir=store, cells=[CELL])
  for way in (out, tmp_path / 'disk' / 'deep'):
    assert read_run('out', way, made).cells == [RESULT]


def test_status_of_cells_that_take_no_time(tmp_path):
  """The seconds of a plan were rounded to 0, and status divided by them."""
  quick = make_result(trials=4, calibration_trials=2, ways=5)
  cells.write_cell(tmp_path, quick)
  plan.write(tmp_path, tmp_path, [quick.cell, CELL], cost.fit([]))
  path = tmp_path / 'plan.json'
  planned = json.loads(path.read_text())
  for told in planned['cells'].values():
    assert told[1] > 0
    told[1] = 0.0
  path.write_text(json.dumps(planned))
  assert status.report(tmp_path, lease=60)[1].startswith('left: 0 s on one device')


@pytest.fixture
def read_only(monkeypatch):
  """Has the file system refuse every change, from when it is called on."""

  def refuse(*_, **__):
    raise OSError(30, os.strerror(30))

  def remount() -> None:
    real = os.open
    for name in ('mkdir', 'unlink', 'rename', 'replace', 'utime', 'link'):
      monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(
      os,
      'open',
      lambda path, flags, *rest, **told: (
        refuse() if flags & os.O_CREAT else real(path, flags, *rest, **told)
      ),
    )
    opened = 'builtins.open', 'io.open'
    for name in opened:
      monkeypatch.setattr(name, lambda *a, _open=open, **k: writes(a, k) or _open(*a, **k))

  def writes(arguments, told) -> None:
    mode = told.get('mode', arguments[1] if len(arguments) > 1 else 'r')
    if {*mode} & {*'wxa+'}:
      refuse()

  return remount


def test_status_looks_at_a_folder_that_cannot_be_written(copied, read_only):
  """A snapshot, or another's results: it has nothing to write there, and refused."""
  (copied.folder / 'claims' / 'x').parent.mkdir(exist_ok=True)
  name = next((copied.folder / 'cells').iterdir()).stem
  (copied.folder / 'cells' / f'{name}.json').unlink()
  (copied.folder / 'claims' / f'{name}.json').write_text('{}')
  read_only()
  assert status.report(copied.folder, lease=60)[0].startswith('7 of 8 cells done, 1 running')


def test_a_file_system_that_becomes_read_only_ends_in_a_line(copied, monkeypatch, read_only):
  """A failing disk is remounted so: a traceback of the claim hid what could not be written.

  Status 2: started again here, it would end at its first file.
  """
  for path in (copied.folder / 'cells').iterdir():
    path.unlink()
  before = tree(copied.folder)
  monkeypatch.setattr(
    'experiments.sweeping.worker.run_cell', lambda *_, **__: (read_only(), lost())[1]
  )
  ended = run(arguments(copied.npz, copied.folder, **GRID))
  monkeypatch.undo()
  assert ended.status == 2
  last = ended.err.splitlines()[-1]
  assert last.startswith('sweep: cannot write ')
  assert last.endswith(': Read-only file system')
  assert 'Traceback' not in ended.err
  kept = tree(copied.folder)
  assert {name for name in before if kept[name] != before[name]} <= {'plan.json'}


def lost():
  """A result that there is no place for."""
  return RESULT, None


def test_the_plan_of_a_link_reads_as_ours(tmp_path):
  """A name of a cell that leads out of the store is none."""
  plan.write(tmp_path, tmp_path, [CELL], cost.fit([]))
  path = tmp_path / 'plan.json'
  path.write_text(path.read_text().replace(cells.cell_hash(CELL), '../../x'))
  with pytest.raises(InputError, match=r"plan of ours: a name is '../../x'"):
    plan.read(tmp_path)
