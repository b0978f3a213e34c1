"""A sweep on this machine, started again when it dies: `python -m experiments.launch ...`.

Takes the flags of experiments.sweep. PROCESSES (default 1) is how many processes compute
together, RESTARTS (default 10) how often they are started again. `launch/local.sh` calls it.
"""

import os
import re
import socket
import sys
from collections.abc import Sequence

from experiments.process import cli, preemption, subprocesses
from mamljax.errors import InputError

FINAL = (0, 2, *preemption.STOPPED)  # done, to be changed by the user, asked to stop


def main(arguments: Sequence[str]) -> int:
  """Runs the sweep until it ends of itself; returns its exit status.

  Raises:
    InputError: if PROCESSES or RESTARTS is no such number.
  """
  processes = _setting('PROCESSES', '1', least=1)
  restarts = _setting('RESTARTS', '10', least=0)
  for attempt in range(restarts + 1):
    status = _run(arguments, processes)
    if status in FINAL or preemption.received():
      return status
    follows = f'start {attempt + 2} follows' if attempt < restarts else 'no start is left'
    print(f'launch: ended with status {status}, {follows}', file=sys.stderr)
  return 1


def _setting(name: str, default: str, *, least: int) -> int:
  text = os.environ.get(name, '').strip() or default
  if not (re.fullmatch(r'[0-9]{1,4}', text) and int(text) >= least):
    raise InputError(f'{name}={text} is not a whole number from {least} to 9999')
  return int(text)


def _run(arguments: Sequence[str], count: int) -> int:
  """Starts the processes once; the status of the first that fails, else 0."""
  port = _free_port()
  told = [_environment(own, count, port) for own in range(count)]
  return subprocesses.run(subprocesses.command('sweep', arguments), told, patient=FINAL)


def _environment(own: int, count: int, port: int) -> dict[str, str]:
  """What tells a process which of several it is; nothing if it is the only one."""
  told = {
    'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
    'JAX_NUM_PROCESSES': str(count),
    'JAX_PROCESS_ID': str(own),
  }
  return told if count > 1 else {}


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


if __name__ == '__main__':
  with cli.guarded(resumes=True):
    status = main(sys.argv[1:])
    if preemption.received() and status not in (0, 2):
      preemption.leave()
    sys.exit(status if status >= 0 else 128 - status)
