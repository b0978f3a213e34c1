"""Several tasks on one folder: each cell once, none lost, and the table of one task alone."""

import json
import os
import time

import jax
import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver

from experiments import status
from experiments.config import flags, sharing
from experiments.process.compilation import TooLarge
from experiments.store import claims, failures, leases
from experiments.store.cells import cell_hash
from experiments.sweeping import queue, worker
from mamljax.errors import InputError
from tests.experiments.configurations import make
from tests.experiments.tiny import (
  GRID,
  LOSS,
  arguments,
  cells,
  finish,
  rows,
  run,
  scores,
  start,
)


def work(sweep_run, folder, *typed, **options):
  return run([*arguments(sweep_run.npz, folder, **GRID | options), *typed])


def test_two_shards_share_the_cells_and_the_last_completes_the_table(light, tmp_path):
  """An array of tasks must make what one task makes, whoever comes last."""
  folder = tmp_path / 'out'
  typed = arguments(light.npz, folder, **LOSS)
  both = [start([*typed, '--num_shards=2', f'--shard={shard}']) for shard in (0, 1)]
  ended = [finish(process) for process in both]
  assert [e.status for e in ended] == [0, 0], ended
  assert rows(folder) == rows(light.folder)
  assert scores(folder) == scores(light.folder)
  assert list((folder / 'claims').iterdir()) == []


def test_what_another_task_computes_is_left_to_it(finished, tmp_path, monkeypatch):
  """Else a hundred tasks would do the same cell a hundred times."""
  folder, taken = tmp_path / 'out', rows(finished.folder)[3]['hash']
  with leases.Claims(folder, lease=60) as others:
    assert others.take(taken)
    ended = work(finished, folder, '--num_shards=2', '--shard=0')
  assert ended.status == 0
  assert '1 cells are left to other tasks' in ended.out
  expected = [row for row in rows(finished.folder) if row['hash'] != taken]
  assert rows(folder) == expected


def test_a_task_that_is_alone_waits_for_the_others(finished, tmp_path, monkeypatch, caplog):
  """Two sweeps at once on one folder: both must end with the whole table."""
  folder, taken = tmp_path / 'out', rows(finished.folder)[0]['hash']
  with leases.Claims(folder, lease=60) as others:
    assert others.take(taken)
    monkeypatch.setattr(worker.time, 'sleep', lambda _: others.release(taken))
    ended = work(finished, folder)
  assert ended.status == 0
  assert f'waiting for 1 cells, computed by process {os.getpid()} on' in caplog.text
  assert rows(folder) == rows(finished.folder)


@pytest.mark.parametrize('text', ['', '{"host": "gone"}', None])
def test_a_claim_without_a_sign_of_life_expires(tmp_path, monkeypatch, text):
  """A machine that lost its power must not keep its cell forever."""
  with leases.Claims(tmp_path, lease=60) as gone, leases.Claims(tmp_path, lease=60) as mine:
    assert gone.take('cell')
    assert not mine.take('cell')
    path = claims.folder(tmp_path) / 'cell.json'
    elsewhere = json.loads(path.read_text()) | {'machine': 'another'}
    path.write_text(json.dumps(elsewhere) if text is None else text)
    assert not mine.take('cell')
    now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now + 61)
    assert mine.take('cell')
    assert not gone.take('cell')


def test_the_claim_of_a_dead_process_of_this_machine_expires_at_once(finished, tmp_path):
  """A killed sweep that is started again must not wait for a lease."""
  process = start(arguments(finished.npz, tmp_path, trials=10**6))
  while not list(tmp_path.glob('claims/*.json')) and process.poll() is None:
    time.sleep(0.01)
  (path,) = tmp_path.glob('claims/*.json')
  with leases.Claims(tmp_path, lease=10**6) as mine:
    time.sleep(0.1)
    assert not mine.take(path.stem)
    process.kill()
    finish(process)
    assert mine.take(path.stem)


def test_a_claim_lives_while_its_task_does(tmp_path):
  """A cell of hours is longer than any lease."""
  with leases.Claims(tmp_path, lease=0.2) as held:
    assert held.take('cell')
    time.sleep(0.5)
    found = claims.find(claims.folder(tmp_path) / 'cell.json')
    assert found is not None
    assert not claims.is_silent(claims.folder(tmp_path) / 'cell.json', found, 0.2)
  assert claims.find(claims.folder(tmp_path) / 'cell.json') is None


def test_of_many_that_clear_an_expired_claim_one_gets_it(tmp_path, monkeypatch):
  """Renaming is the decision, and it is made once."""
  tasks = [leases.Claims(tmp_path, lease=60) for _ in range(8)]
  with tasks[0]:
    path = claims.folder(tmp_path) / 'cell.json'
    path.write_text('')
    assert not any(task.take('cell') for task in tasks)
    now = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now + 61)
    assert sum(task.take('cell') for task in tasks) == 1
    assert not list(path.parent.glob('.*.tmp'))


def test_shares_are_stable_and_cover_all_cells():
  """A larger grid must not move a cell to another task, nor may one be in no share."""
  grid = [make(seed=seed) for seed in range(200)]
  for count in (1, 3, 7):
    shares = [
      {c for c in grid if queue.in_share(c, shard=shard, num_shards=count)}
      for shard in range(count)
    ]
    assert sum(map(len, shares)) == len(set.union(*shares)) == 200
    assert all(len(share) > 0.3 * 200 / count for share in shares)


@pytest.mark.parametrize(
  ('typed', 'environment', 'expected'),
  [
    ([], {}, (1, 0)),
    ([], {'COUNT': '4', 'ID': '7', 'MIN': '5'}, (4, 2)),
    ([], {'COUNT': '4', 'ID': '9', 'MIN': '5', 'STEP': '2'}, (4, 2)),
    (['--num_shards=3', '--shard=1'], {'COUNT': '4', 'ID': '7', 'MIN': '5'}, (3, 1)),
    ([], {'COUNT': '2', 'ID': '7', 'MIN': '3'}, (2, 0)),  # --array=3,7
    ([], {'COUNT': '3', 'ID': '7', 'MIN': '1', 'STEP': '1'}, (3, 0)),  # --array=1,3,7
    (['--num_shards=3'], {'COUNT': '8', 'ID': '7', 'MIN': '0'}, (3, 1)),
  ],
)
def test_the_share_comes_from_slurm_unless_it_is_given(
  monkeypatch, typed, environment, expected
):
  """One command for all tasks of an array."""
  for name, value in environment.items():
    monkeypatch.setenv(f'SLURM_ARRAY_TASK_{name}', value)
  assert how(*typed)[:2] == expected


@pytest.mark.parametrize(('name', 'value'), [('STEP', '0'), ('STEP', 'x'), ('ID', '-1')])
def test_an_array_that_cannot_be_was_a_traceback(monkeypatch, name, value):
  """Division by zero, and status 1: each task was queued again."""
  told = {'COUNT': '4', 'ID': '7', 'MIN': '5', 'STEP': '1'} | {name: value}
  for variable, said in told.items():
    monkeypatch.setenv(f'SLURM_ARRAY_TASK_{variable}', said)
  with pytest.raises(InputError, match=rf'SLURM_ARRAY_TASK_{name}={value} is not a whole'):
    how()


def how(*typed) -> sharing.Operation:
  with flagsaver.flagsaver():
    flags.FLAGS(['sweep', *typed])
    return sharing.read()


@pytest.mark.parametrize(
  'typed',
  ['--num_shards=0', '--shard=1', '--shard=-1', '--save_seconds=-1', '--lease_seconds=nan'],
)
def test_a_share_that_cannot_be_is_refused(typed):
  """Two tasks with the share of one would leave cells undone."""
  with pytest.raises((InputError, absl_flags.Error), match=typed[2:].split('=')[0]):
    how(typed)


def test_failures_are_kept_and_tried_again_and_then_left_alone(finished, tmp_path, monkeypatch):
  """A night's sweep must say in the morning what failed, and must not fail at it forever."""
  folder, real = tmp_path / 'out', worker.run_cell
  bad = rows(finished.folder)[2]
  tried = []

  def fail(cell, **options):
    if cell_hash(cell) != bad['hash']:
      return real(cell, **options)
    tried.append(cell)
    raise RuntimeError('lost\nthe device')

  monkeypatch.setattr(worker, 'run_cell', fail)
  for times in (1, 2, 2):
    ended = work(finished, folder, '--max_failures=2')
    assert ended.status == 2
    assert '1 cells have no result' in ended.err
    assert len(tried) == times
    failure = failures.find(folder, bad['hash'])
    assert (failure.times, failure.reason) == (times, 'RuntimeError: lost the device')
    assert 'in fail' in failure.traceback
  told = '\n'.join(status.report(folder, lease=60))
  assert '7 of 8 cells done, 0 running, 1 failed, 0 waiting' in told
  assert 'RuntimeError: lost the device' in told
  monkeypatch.setattr(worker, 'run_cell', real)
  assert work(finished, folder, '--max_failures=3').status == 0
  assert failures.find(folder, bad['hash']) is None
  assert rows(folder) == rows(finished.folder)


def test_without_memory_the_chunk_is_halved_and_the_row_says_so(
  finished, tmp_path, monkeypatch
):
  """The numbers must be those of the chunk that was run, and be called so."""
  real = worker.run_cell

  def small(cell, **options):
    if cell.execution.chunk > 2:
      raise MemoryError
    return real(cell, **options)

  monkeypatch.setattr(worker, 'run_cell', small)
  assert work(finished, tmp_path, chunk=8).status == 0
  assert [row['chunk'] for row in rows(tmp_path)] == ['8'] * 8
  assert [row['chunk_run'] for row in rows(tmp_path)] == ['2'] * 8
  assert [row['chunk_run'] for row in rows(finished.folder)] == ['2'] * 8
  found, expected = (list(played(folder)) for folder in (tmp_path, finished.folder))
  assert found == expected


@pytest.mark.parametrize(
  'words',
  [
    'RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.',
    'INTERNAL: Failed to run: Out of memory allocating 8 bytes.',
    'INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory',
    'INTERNAL: the library was not initialized: CUBLAS_STATUS_ALLOC_FAILED',
  ],
)
def test_out_of_memory_in_other_words_was_a_failed_cell(words):
  """XLA's allocators say it differently; in smaller chunks the cell has its result."""
  tried = []

  def small(smaller):
    tried.append(smaller.execution.chunk)
    if smaller.execution.chunk > 2:
      raise jax.errors.JaxRuntimeError(words)
    raise InterruptedError

  with pytest.raises(InterruptedError):
    worker.within_memory(make(chunk=4), small)
  assert tried == [4, 2]


def test_a_device_that_tells_its_memory_is_not_tried_in_vain():
  """Each size that is tried costs a compilation; the program says which one may fit."""
  tried = []

  def run(cell):
    tried.append(cell.execution.chunk)
    if cell.execution.chunk > 2:
      raise TooLarge(needs=100 * cell.execution.chunk, has=250)
    raise InterruptedError

  with pytest.raises(InterruptedError):
    worker.within_memory(make(chunk=64), run)
  assert tried == [64, 2]


def played(folder):
  """The scores of each cell, in the order of the table."""
  kept = cells(folder)
  return [kept[row['hash']]['trials']['scores'] for row in rows(folder)]


def test_a_failed_cell_is_no_failure_of_a_task_while_others_work(
  finished, tmp_path, monkeypatch, caplog
):
  """Kubernetes and SLURM may end all tasks where one fails; the last of them says it."""
  folder, table = tmp_path / 'out', rows(finished.folder)
  real = worker.run_cell

  def fail(cell, **options):
    if cell_hash(cell) == table[2]['hash']:
      raise FloatingPointError
    return real(cell, **options)

  monkeypatch.setattr(worker, 'run_cell', fail)
  with leases.Claims(folder, lease=60) as others:
    assert others.take(table[0]['hash'])
    early = work(finished, folder, '--num_shards=2', '--shard=0')
  last = work(finished, folder, '--num_shards=2', '--shard=1')
  assert (early.status, last.status) == (0, 2)
  assert 'no result: ' in caplog.text
  assert '1 cells have no result' in last.err
