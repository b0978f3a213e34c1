"""Killed at random moments, on a full disk, twice at once: nothing is lost, doubled or bent."""

import errno
import os
import random
import time

import pytest

from experiments import status
from tests.experiments.tiny import GRID, LOSS, arguments, finish, rows, run, scores, start


@pytest.mark.parametrize('kills', [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_sweep_that_is_killed_again_and_again_ends_the_same(light, tmp_path, kills):
  """Power cuts, memory killers, pre-emption without a word: the table must not show them."""
  moments = random.Random(kills)
  typed = [*arguments(light.npz, tmp_path, **LOSS), '--save_seconds=0']
  killed = 0
  for _ in range(kills):
    before, process = saved(tmp_path), start(typed)
    while saved(tmp_path) == before and process.poll() is None:
      time.sleep(0.005)
    time.sleep(moments.uniform(0, 0.05))
    process.kill()
    killed += finish(process).status == -9
  assert killed >= min(kills, 2)
  ended = run(typed)
  assert ended.status == 0, ended.err
  assert rows(tmp_path) == rows(light.folder)
  assert scores(tmp_path) == scores(light.folder)
  assert len(scores(tmp_path)) == 8
  assert not list(tmp_path.rglob('*.damaged'))
  for folder in ('claims', 'progress'):
    assert [path.name for path in (tmp_path / folder).glob('[!.]*')] == []


def saved(folder) -> set[tuple[str, int]]:
  """The cells, and the trials of a cell that is not finished, as they are now."""
  paths = [*folder.glob('cells/[!.]*'), *folder.glob('progress/[!.]*')]
  return {(path.name, path.stat().st_mtime_ns) for path in paths if path.exists()}


@pytest.mark.parametrize('write', [1, 2, 4, 9])
def test_a_full_disk_is_one_clear_line_and_costs_one_cell_at_most(
  finished, tmp_path, monkeypatch, write
):
  """At whichever file it happens: what is kept is whole, and the rest is computed again."""
  real, calls = os.fsync, []

  def fsync(descriptor: int) -> None:
    calls.append(descriptor)
    if len(calls) >= 2 * write - 1:  # a file, then its folder
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(descriptor)

  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', fsync)
    ended = run(arguments(finished.npz, tmp_path, **GRID))
  assert ended.status == 2
  assert 'No space left on device' in ended.err.splitlines()[-1]
  kept = scores(tmp_path)
  assert kept == {name: scores(finished.folder)[name] for name in kept}
  assert run(arguments(finished.npz, tmp_path, **GRID)).status == 0
  assert rows(tmp_path) == rows(finished.folder)
  assert status.report(tmp_path, lease=60)[0].startswith('8 of 8 cells done, 0 running')


def test_two_sweeps_at_once_on_one_folder_end_alike(light, tmp_path):
  """Each must wait for what the other computes, and both end with the whole table."""
  typed = arguments(light.npz, tmp_path, **LOSS)
  ended = [finish(process) for process in [start(typed), start(typed)]]
  assert [e.status for e in ended] == [0, 0], ended
  assert rows(tmp_path) == rows(light.folder)
  for e in ended:
    assert e.out.count('2-way 1-shot') == 8
