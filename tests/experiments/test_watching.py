"""What a person and a program see of a sweep: its status, its bar, and a line a minute."""

import contextlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from experiments import status
from experiments.store import leases, trials
from experiments.sweeping import worker
from mamljax.audit.trials import Played
from mamljax.errors import InputError
from tests.experiments.test_sharing import work
from tests.experiments.tiny import finish, rows, start


def test_status_says_what_runs_and_what_is_slow(copied):
  """One looks at a sweep on a cluster without its terminal."""
  names = [row['hash'] for row in rows(copied.folder)]
  for name in names[:3]:
    (copied.folder / 'cells' / f'{name}.json').unlink()
  kept = Played(np.zeros(3), np.ones(3, bool), None, None)
  block = trials.Block(kept, np.zeros((3, 1, 1, 1)), 1.0, 1.0)
  trials.Keeper(trials.progress_folder(copied.folder), names[0], 'stamp', every=0).keep(
    5, [block]
  )
  with leases.Claims(copied.folder, lease=60) as held:
    held.take(names[0])
    lines = status.report(copied.folder, lease=60)
  assert lines[0] == '5 of 8 cells done, 1 running, 0 failed, 2 waiting'
  assert lines[2].startswith('running: 25%: process ')  # 3 of 8 and 4 trials
  assert lines[1].startswith('left: ')
  assert lines[1].endswith('on the 1 at work')
  kinds = [line.split(':')[0] for line in lines[2:]]
  assert kinds == ['running', *['slow'] * 5]
  assert f'process {os.getpid()} on' in lines[2]


def test_status_says_that_a_guess_is_one(copied):
  """Before a cell is finished nobody knows how long they take."""
  for path in (copied.folder / 'cells').iterdir():
    path.unlink()
  lines = status.report(copied.folder, lease=60)
  assert lines[1].endswith('on one device (a guess: no cell is finished)')


def test_the_bar_is_about_the_share_and_what_is_taken_beyond(finished, tmp_path, monkeypatch):
  """Else the bar of a task of many would end at a part, and tell a time for all cells."""
  bars = []
  monkeypatch.setattr(worker, 'bar', lambda **told: bars.append(Bar(**told)) or bars[-1])
  first = {row['hash'] for row in rows(finished.folder) if int(row['hash'], 16) % 2 == 0}
  assert work(finished, tmp_path, '--num_shards=2', '--shard=0').status == 0
  (bar,) = bars
  per_cell = bar.totals[-1] // 8
  assert bar.totals == [per_cell * max(len(first), i + 1) for i in range(8)]
  assert bar.n == bar.totals[-1]
  assert bar.told.startswith('task 1 of 2: ')


class Bar(contextlib.AbstractContextManager):
  """Takes down what a bar is told."""

  def __init__(self, total: int, **_):
    self.total, self.n, self.totals, self.told = total, 0, [], ''

  def __exit__(self, *_):
    pass

  def set_description_str(self, told: str):
    self.told = told
    self.totals.append(self.total)

  def update(self, steps: int):
    self.n += steps

  def unpause(self):
    pass


def test_status_of_nothing_is_one_clear_line(tmp_path):
  """A typing error in the folder is the usual reason."""
  ended = finish(start([f'--output_dir={tmp_path}'], module='status'))
  assert (ended.status, ended.err.count('\n')) == (2, 1)
  assert 'no sweep was started in' in ended.err


@pytest.mark.parametrize(
  ('typed', 'folder'), [('', 'out_quick'), ('/out', 'out_quick'), ('', 'paper/table1')]
)
def test_status_names_the_folder_that_was_meant(tmp_path, typed, folder):
  """--quick writes beside the folder that is typed, and a part of it is soon forgotten."""
  (tmp_path / folder).mkdir(parents=True)
  (tmp_path / folder / 'plan.json').touch()
  with pytest.raises(InputError, match=rf'no plan.json, but there is one in \S+/{folder}$'):
    status.report(Path(f'{tmp_path}{typed}'), lease=60)


def test_a_machine_is_told_a_line_a_minute(finished, tmp_path, monkeypatch):
  """A progress bar is for a person; a log is read by programs."""
  clock = itertools.count(0, 100)
  monkeypatch.setattr(worker.time, 'monotonic', lambda: next(clock))
  ended = work(finished, tmp_path, '--shard=0')
  told = [json.loads(line) for line in ended.out.splitlines() if line.startswith('{')]
  assert len(told) >= 16
  assert told[-1]['cells_done'] == 7
  assert {line['trials'] for line in told} == {12}
  assert 0 < told[0]['trials_done'] <= 12
