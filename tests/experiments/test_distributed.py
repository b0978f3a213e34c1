"""Several processes are one: the same numbers, one writer, and a launcher that starts again."""

import os
import re
import signal
import time

import jax
import pytest

from experiments import launch
from experiments.process import distributed, preemption
from mamljax.errors import InputError
from tests.experiments.tiny import GRID, arguments, cells, finish, rows, scores, start


@pytest.mark.slow  # each process compiles for itself
def test_four_devices_and_two_processes_with_two_give_the_same_bits(finished, tmp_path):
  """Else a result would depend on the machine that happened to be free."""
  four, two = tmp_path / 'four', tmp_path / 'two'
  options = {'inner_learning_rates': 0.1, 'noise_scales': '0.01,0.1', 'tv_weight': 0.001}
  single = start(arguments(finished.npz, four, **options), devices=4)
  together = {'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{launch._free_port()}'}
  together |= {'JAX_NUM_PROCESSES': '2'}
  typed = arguments(finished.npz, two, **options)
  both = [start(typed, devices=2, JAX_PROCESS_ID=own, **together) for own in '01']
  ended = [finish(process) for process in (single, *both)]
  assert [e.status for e in ended] == [0, 0, 0], ended
  expected = scores(finished.folder)
  for folder in (four, two):
    found = scores(folder)
    assert len(found) == 2
    assert found == {name: expected[name] for name in found}
    assert {kept['timings']['devices'] for kept in cells(folder).values()} == {4}
  assert rows(four) == rows(two)
  ours = [line for line in ended[2].out.splitlines() if not line.startswith('[Gloo]')]
  assert ours == []  # the first alone writes and prints
  assert 'accuracy' in ended[1].out


@pytest.mark.slow  # each process compiles for itself
def test_the_launcher_starts_again_when_a_process_is_lost(finished, tmp_path):
  """A machine that is lost takes the others with it: nobody must have to notice."""
  options = GRID | {'trials': 400}
  typed = [*arguments(finished.npz, tmp_path, **options), '--save_seconds=0']
  process = start(typed, module='launch', PROCESSES='2')
  lost: list[int] = []
  while not lost and process.poll() is None:
    time.sleep(0.02)
    if list(tmp_path.glob('progress/*.npz')):
      lost = children(process.pid)[-1:]
  os.kill(lost[0], signal.SIGKILL)
  ended = finish(process)
  assert ended.status == 0, ended.err
  assert 'launch: ended with status' in ended.err
  assert len(rows(tmp_path)) == 8
  assert all(row['trials'] == '400' for row in rows(tmp_path))


def children(parent: int) -> list[int]:
  """The processes that a process has started and that still run."""
  with open(f'/proc/{parent}/task/{parent}/children') as file:
    return [int(number) for number in file.read().split()]


@pytest.mark.parametrize('status', [0, 2, 75, 130, -2, 129, -1])
def test_the_launcher_leaves_it_at_what_is_final(monkeypatch, status):
  """A mistake of the user's is not mended by starting again, nor a wish to stop."""
  monkeypatch.setattr(launch, '_run', lambda *_: status)
  assert launch.main([]) == status


def test_the_launcher_gives_up(monkeypatch):
  """What dies each time must not be started all night."""
  monkeypatch.setenv('RESTARTS', '3')
  tried = []
  monkeypatch.setattr(launch, '_run', lambda *_: tried.append(1) or -9)
  assert launch.main([]) == 1
  assert len(tried) == 4


def test_the_last_failure_announced_a_start_that_did_not_come(monkeypatch, capsys):
  """Whoever reads the log waits for it."""
  monkeypatch.setenv('RESTARTS', '1')
  monkeypatch.setattr(launch, '_run', lambda *_: -9)
  assert launch.main([]) == 1
  assert capsys.readouterr().err.splitlines() == [
    'launch: ended with status -9, start 2 follows',
    'launch: ended with status -9, no start is left',
  ]


def test_ctrl_c_started_the_sweep_again_up_to_eleven_times(monkeypatch):
  """However the sweep ends then."""
  tried = []
  monkeypatch.setattr(launch, '_run', lambda *_: tried.append(1) or 1)
  monkeypatch.setattr(preemption, 'received', lambda: True)
  assert launch.main([]) == 1
  assert len(tried) == 1


@pytest.mark.parametrize(
  ('name', 'value'),
  [('PROCESSES', '0'), ('PROCESSES', 'x'), ('RESTARTS', '-1'), ('RESTARTS', '1' * 5000)],
)
def test_no_process_at_all_was_a_success(monkeypatch, name, value):
  """Nothing ran, status 0; a word was a traceback."""
  monkeypatch.setenv(name, value)
  monkeypatch.setattr(launch, '_run', lambda *_: pytest.fail('started'))
  with pytest.raises(InputError, match=f'{name}=.* is not a whole number from [01] to 9999'):
    launch.main([])


def test_python_in_a_slurm_job_without_srun_is_refused(monkeypatch):
  """It would compute everything on the first machine, and miss every signal."""
  monkeypatch.setenv('SLURM_JOB_ID', '17')
  monkeypatch.delenv('SLURM_STEP_ID', raising=False)
  with pytest.raises(InputError, match=r'SLURM job 17, but srun did not start .* write srun'):
    distributed.start('auto')
  distributed.start('off')


@pytest.mark.parametrize(
  ('environment', 'count'),
  [
    ({}, 1),
    ({'SLURM_STEP_ID': '0', 'SLURM_STEP_NUM_TASKS': '4'}, 4),
    ({'SLURM_STEP_NUM_TASKS': '4'}, 1),
    ({'OMPI_COMM_WORLD_SIZE': '3'}, 3),
    ({'TPU_WORKER_HOSTNAMES': 'a,b'}, 2),
    ({'JAX_NUM_PROCESSES': '2'}, 2),
    ({'MEGASCALE_NUM_SLICES': '2'}, 2),
  ],
)
def test_launchers_are_noticed(monkeypatch, environment, count):
  """A process that does not join the others computes all cells once more."""
  for name in [name for name in os.environ if re.match('SLURM|OMPI|TPU|MEGA|JAX_NUM', name)]:
    monkeypatch.delenv(name)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  assert distributed._launched() == count
  assert jax.process_count() == 1
