"""A sweep on this machine, started again when it dies: `python -m experiments.launch ...`.

Takes the flags of experiments.sweep. PROCESSES (default 1) is how many processes compute
together, RESTARTS (default 10) how often they are started again. `launch/local.sh` calls it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from experiments import interruption

FINAL = (0, 2, interruption.STATUS)  # done, to be changed by the user, stopped by the user
POLL_SECONDS, GRACE_SECONDS = 0.1, 60.0


def main(arguments: Sequence[str]) -> int:
  """Runs the sweep until it ends of itself; returns its exit status."""
  processes, restarts = (int(os.environ.get(*told)) for told in _SETTINGS)
  for attempt in range(restarts + 1):
    status = _run(arguments, processes)
    if status in FINAL:
      return status
    print(f'launch: ended with status {status}, start {attempt + 2} follows', file=sys.stderr)
  return 1


_SETTINGS = (('PROCESSES', '1'), ('RESTARTS', '10'))


def _run(arguments: Sequence[str], count: int) -> int:
  """Starts the processes once; the status of the first that fails, else 0.

  The others are killed when one has died: JAX's runtime does not go on without it.
  """
  command = [sys.executable, '-m', 'experiments.sweep', *arguments]
  port = _free_port()
  started = [
    subprocess.Popen(command, env=os.environ | _environment(own, count, port))
    for own in range(count)
  ]
  before = {
    number: signal.signal(number, lambda number, _: _pass_on(started, number))
    for number in (*interruption.SIGNALS, signal.SIGINT)
  }
  try:
    return _wait(started)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _environment(own: int, count: int, port: int) -> dict[str, str]:
  """What tells a process which of several it is; nothing if it is the only one."""
  told = {
    'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
    'JAX_NUM_PROCESSES': str(count),
    'JAX_PROCESS_ID': str(own),
  }
  return told if count > 1 else {}


def _wait(started: Sequence[subprocess.Popen]) -> int:
  """Waits for all of them, but not long for the others once one has failed."""
  while all(process.poll() in (None, 0) for process in started):
    if all(process.poll() == 0 for process in started):
      return 0
    time.sleep(POLL_SECONDS)
  status = next(process.returncode for process in started if process.returncode)
  until = time.monotonic() + (GRACE_SECONDS if status in FINAL else 0)
  while time.monotonic() < until and any(process.poll() is None for process in started):
    time.sleep(POLL_SECONDS)
  for process in started:
    process.kill()
    process.wait()
  return status


def _pass_on(started: Sequence[subprocess.Popen], number: int) -> None:
  for process in started:
    process.send_signal(number)


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
