"""A task that stands still, or dies elsewhere: what it held passes on, whole."""

import json
import os
import time

import pytest

from experiments.analysis import results_csv
from experiments.process import preemption
from experiments.store import claims, leases
from experiments.store.claims import Holder
from experiments.store.leases import Claims
from experiments.sweeping import coordinator, worker
from mamljax import atomic
from tests.experiments.test_sharing import work
from tests.experiments.tiny import rows as lines

ELSEWHERE = Holder('elsewhere', 'another machine', 7, 'born', '', 'their token')
IN_A_YEAR = time.time() + 3e7


class Clock:
  """A clock that is set by the test."""

  def __init__(self, monkeypatch):
    self.now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: self.now)
    monkeypatch.setattr(time, 'sleep', self.sleep)

  def sleep(self, seconds: float) -> None:
    self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
  return Clock(monkeypatch)


def claimed(folder, name: str, holder: Holder = ELSEWHERE):
  """The claim of a task of another machine, which nobody here can look for."""
  path = claims.folder(folder) / f'{name}.json'
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(holder._asdict()))
  return path


@pytest.mark.parametrize('date', [0, IN_A_YEAR], ids=['1970', 'in a year'])
def test_a_claim_expires_whatever_its_date_says(tmp_path, clock, date):
  """Dated ahead of the clock it blocked its cell for ever; dated back, it was taken at once."""
  path = claimed(tmp_path, 'cell')
  os.utime(path, (date, date))
  mine = Claims(tmp_path, lease=60)
  assert not mine.take('cell')
  clock.now += 59
  assert not mine.take('cell')
  clock.now += 2
  assert mine.take('cell')


def test_a_sign_of_life_is_any_change(tmp_path, clock):
  """The clock of whoever gives it may stand, or go backwards."""
  path, mine = claimed(tmp_path, 'cell'), Claims(tmp_path, lease=60)
  for date in (IN_A_YEAR, IN_A_YEAR - 5, 0):
    os.utime(path, (date, date))
    assert not mine.take('cell')
    clock.now += 59
  assert not mine.take('cell')


def test_a_claim_is_given_back_by_who_holds_it_alone(tmp_path):
  """A task that was stopped past its lease deleted the claim of the one that took over."""
  mine = Claims(tmp_path, lease=60)
  claims.folder(tmp_path).mkdir()
  assert mine.take('cell')
  path = claimed(tmp_path, 'cell')  # another took over meanwhile
  mine.release('cell')
  assert json.loads(path.read_text())['token'] == 'their token'
  path.unlink()
  assert mine.take('cell')
  mine.release('cell')
  assert not path.exists()


def test_signs_of_life_are_given_of_what_is_held_alone(tmp_path):
  """Else a task kept alive the claim that another took from it, and then died with."""
  with Claims(tmp_path, lease=0.2) as mine:
    assert mine.take('cell')
    path = claimed(tmp_path, 'cell')
    os.utime(path, (1, 1))
    time.sleep(0.2)
    assert path.stat().st_mtime == 1


def test_waiting_for_the_table_says_for_whom(tmp_path, clock, caplog):
  """A sweep that had ended stood there without a word."""
  claimed(tmp_path, coordinator.TABLE)
  with Claims(tmp_path, lease=60).alone(coordinator.TABLE):
    pass
  assert 'waiting for the table, written by process 7 on elsewhere' in caplog.text
  assert caplog.text.count('waiting') == 1


def test_nothing_is_written_by_who_has_lost_the_claim(tmp_path):
  """A task stopped past its lease and continued put an old table in the place of the new."""
  path, mine = tmp_path / 'results.csv', Claims(tmp_path, lease=60)
  path.write_text('new')
  claims.folder(tmp_path).mkdir()
  with mine.alone('table'), atomic.fenced(lambda: mine.check('table')):
    claimed(tmp_path, 'table')
    with pytest.raises(leases.Lost):
      atomic.write_text(path, 'old')
  assert path.read_text() == 'new'
  assert {file.name for file in tmp_path.iterdir()} == {'results.csv', 'claims'}


def test_a_task_that_stood_still_while_it_concluded_begins_again(copied, monkeypatch, caplog):
  """Its view is an old one: it must read what the others made, and then write all of it."""
  expected, real, stopped = lines(copied.folder), results_csv.write_csv, []

  def stand_still(folder, found, *, cells):
    if not stopped:
      stopped.append(claimed(folder, coordinator.TABLE))
    return real(folder, found, cells=cells)

  monkeypatch.setattr(results_csv, 'write_csv', stand_still)
  ended = work(copied, copied.folder, '--lease_seconds=1')
  assert ended.status == 0, ended.err
  assert 'another task took the table' in caplog.text
  assert lines(copied.folder) == expected


@pytest.mark.parametrize('stop', [preemption.Interrupted, KeyboardInterrupt, RuntimeError])
def test_a_shard_that_is_stopped_takes_no_rows_from_the_table(copied, monkeypatch, stop):
  """SIGTERM of one of two shards: the table went from 4 rows to 2, with 3 valid cells."""
  expected = lines(copied.folder)
  own = [line['hash'] for line in expected if int(line['hash'], 16) % 2 == 0]
  (copied.folder / 'cells' / f'{own[0]}.json').unlink()

  def interrupt(*_, **__):
    raise stop

  monkeypatch.setattr(worker, 'run_cell', interrupt)
  assert work(copied, copied.folder, '--num_shards=2', '--shard=0').status in (75, 130, 2)
  wanted = {line['hash'] for line in expected} - ({own[0]} if stop is RuntimeError else set())
  assert {line['hash'] for line in lines(copied.folder)} == wanted


def test_a_table_of_other_columns_is_left_until_all_is_known(copied):
  """Of another version: lines that do not fit into it would bend it."""
  table = copied.folder / 'results.csv'
  older = ''.join(f'{i},{line}' for i, line in enumerate(table.read_text().splitlines(True)))
  table.write_text(older)
  cells = [result.cell for result in found(copied)]
  assert results_csv.update_csv(copied.folder, [], cells) is not None
  assert results_csv.update_csv(copied.folder, found(copied)[:1], cells) is None
  assert table.read_text() == older


def found(copied):
  names = [line['hash'] for line in lines(copied.folder)]
  return coordinator.cell_files.read_cells(copied.folder, names)


def test_one_of_several_tasks_looks_whether_the_others_live(finished, tmp_path, monkeypatch):
  """It left the cells of a machine that had died to it, and nobody computed them."""
  path = claimed(tmp_path, lines(finished.folder)[3]['hash'])
  mine = Claims(tmp_path, lease=60)
  assert mine.undecided([path.stem])
  os.utime(path, (9, 9))
  assert not mine.undecided([path.stem])
  monkeypatch.setattr(worker, 'WAIT_SECONDS', 0.1)
  ended = work(finished, tmp_path, '--num_shards=2', '--shard=0', '--lease_seconds=1')
  assert ended.status == 0, ended.err
  assert lines(tmp_path) == lines(finished.folder)
