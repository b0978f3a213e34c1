"""Signals that ask a command to stop, from its first moment to its last."""

import os
import re
import signal
import sys
import threading
import time

import pytest

from experiments import sweep
from experiments.process import cli, preemption, subprocesses
from tests.experiments.tiny import arguments, finish, rows, run, start

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


def send(number: int) -> None:
  """A signal to this process, and a moment for Python to see it."""
  os.kill(os.getpid(), number)
  time.sleep(0)


@pytest.mark.parametrize(('number', 'status'), [(TERM, 75), (INT, -2), (HUP, 129)])
def test_a_signal_in_start_up_killed_or_was_a_traceback(tmp_path, number, status):
  """-15 counts as a lost process, where a pre-emption is none; Ctrl-C printed 52 lines."""
  process = start([f'--output_dir={tmp_path}'], module='status')
  time.sleep(0.4)  # JAX is being imported
  process.send_signal(number)
  ended = finish(process)
  assert (ended.status, ended.out, ended.err) == (status, '', 'status: asked to stop\n')


@pytest.mark.parametrize(('number', 'status'), [(TERM, 75), (INT, 130), (HUP, 129)])
def test_a_signal_while_concluding_left_the_claim_of_the_table(
  finished, tmp_path, monkeypatch, number, status
):
  """Other tasks would have waited for a lease before each could write."""
  monkeypatch.setattr(sweep, '_conclude', lambda *_: send(number))
  ended = run(arguments(finished.npz, tmp_path))
  assert ended.status == status
  assert ended.err.endswith('sweep: asked to stop\n')
  assert 'Traceback' not in ended.err
  assert len(rows(tmp_path)) == 1
  assert list((tmp_path / 'claims').iterdir()) == []


def test_a_second_ctrl_c_does_not_wait(monkeypatch):
  """The first waits for the block of trials, which may be long; a launcher may pass on another
  of the same moment."""
  with preemption.listening():
    send(INT)
    send(INT)
    send(TERM)
    assert preemption.received()
    monkeypatch.setattr(preemption, '_TOGETHER', 0.0)
    send(TERM)
    with pytest.raises(preemption.Interrupted):
      send(INT)
    preemption._received.clear()
  assert not preemption.received()


def test_a_signal_in_the_last_moment_of_the_work_was_forgotten(finished, tmp_path, monkeypatch):
  """And the command went on for minutes, to draw and to wait for the table."""
  real = sweep.coordinator.Coordinator.compute
  monkeypatch.setattr(sweep.coordinator.Coordinator, 'compute', lambda f: (real(f), send(TERM)))
  monkeypatch.setattr(sweep, '_conclude', lambda *_: pytest.fail('went on'))
  assert run(arguments(finished.npz, tmp_path)).status == 75
  assert not preemption.received()


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
  """`nohup` ignores SIGHUP, so that the terminal can be closed."""
  before = signal.signal(HUP, signal.SIG_IGN)
  try:
    with preemption.handled(), preemption.listening():
      send(HUP)
      assert not preemption.received()
  finally:
    signal.signal(HUP, before)


WAITS = 'trap "sleep 0.2; exit 75" TERM; echo >"$0"; while :; do sleep 0.05; done'


def test_a_command_passes_signals_on_to_those_that_it_runs(tmp_path):
  """`reproduce` killed a sweep a quarter of a second after Ctrl-C, before it had saved."""
  ready = tmp_path / 'ready'

  def stop():
    while not ready.exists():
      time.sleep(0.01)
    os.kill(os.getpid(), TERM)

  threading.Thread(target=stop).start()
  with preemption.handled():
    status = subprocesses.run(['bash', '-c', WAITS, str(ready)], [{}], patient=())
    assert (status, preemption.received()) == (75, True)


def test_commands_find_each_other_from_any_folder(tmp_path):
  """`experiments.reproduce` in another folder ran parts without our modules: all failed."""
  told = {'PYTHONPATH': ''}
  line = ['bash', '-c', 'cd "$0" && exec "$@"', str(tmp_path)]
  # -S: without what is installed, where an editable installation would find them.
  line += [sys.executable, '-S', '-c', 'import experiments.process']
  assert subprocesses.run(line, [{}], patient=()) == 0
  assert subprocesses.run(line, [told], patient=()) == 1


def test_a_user_without_a_home_has_no_cache(monkeypatch):
  """In a container of a cluster there may be neither $HOME nor an entry of the user."""

  def none():
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setattr(cli.Path, 'home', none)
  assert cli._cache_home() is None


@pytest.mark.parametrize(
  ('variable', 'value', 'said'),
  [
    ('JAX_NUM_CPU_DEVICES', 'x', 'status: .*jax_num_cpu_devices'),
    ('JAX_PLATFORMS', 'cuda', r'sweep: JAX cannot start \(JAX_PLATFORMS=cuda\): \w'),
  ],
)
def test_an_environment_that_jax_refuses_was_a_traceback(
  finished, tmp_path, variable, value, said
):
  """With status 1, so that launchers started it again ten times."""
  module = said.partition(':')[0]
  typed = arguments(finished.npz, tmp_path / 'out') if module == 'sweep' else []
  ended = finish(start(typed, module=module, **{variable: value}))
  assert (ended.status, ended.out, ended.err.count('\n')) == (2, '', 1)
  assert re.match(said, ended.err)
  assert not (tmp_path / 'out').exists()
