"""A sweep on this machine, restarted when it dies: `python -m experiments.launch ...`.

The flags are those of experiments.sweep. The environment variable PROCESSES (default 1) is the
number of processes that compute together, and RESTARTS (default 10) the greatest number of
restarts. `launch/local.sh` calls this command.
"""

import os
import re
import socket
import sys
from collections.abc import Sequence

from experiments.process import cli, preemption, subprocesses
from mamljax.errors import InputError

FINAL = (0, 2, *preemption.STOPPED)  # success, a mistake of the user's, a request to stop


def main(arguments: Sequence[str]) -> int:
  """Runs the sweep until it ends with a final status, which is returned.

  Raises:
    InputError: if PROCESSES or RESTARTS is not a number in its range.
  """
  processes = _setting('PROCESSES', '1', least=1)
  restarts = _setting('RESTARTS', '10', least=0)
  for attempt in range(restarts + 1):
    status = _run(arguments, processes)
    if status in FINAL or preemption.received():
      return status
    outlook = f'start {attempt + 2} follows' if attempt < restarts else 'no start is left'
    print(f'launch: ended with status {status}, {outlook}', file=sys.stderr)
  return 1


def _setting(name: str, default: str, *, least: int) -> int:
  """The whole number in an environment variable."""
  text = os.environ.get(name, '').strip() or default
  if not (re.fullmatch(r'[0-9]{1,4}', text) and int(text) >= least):
    raise InputError(f'{name}={text} is not a whole number from {least} to 9999')
  return int(text)


def _run(arguments: Sequence[str], count: int) -> int:
  """Runs the processes once, and returns the status of the first that fails, else 0."""
  port = _free_port()
  environments = [_environment(index, count, port) for index in range(count)]
  line = subprocesses.command('sweep', arguments)
  return subprocesses.run(line, environments, patient=FINAL)


def _environment(index: int, count: int, port: int) -> dict[str, str]:
  """The variables that tell a process its index among several; none for a single process."""
  variables = {
    'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
    'JAX_NUM_PROCESSES': str(count),
    'JAX_PROCESS_ID': str(index),
  }
  return variables if count > 1 else {}


def _free_port() -> int:
  """The number of a free TCP port."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


if __name__ == '__main__':
  with cli.guarded(resumes=True):
    status = main(sys.argv[1:])
    if preemption.received() and status not in (0, 2):
      preemption.leave()
    sys.exit(status if status >= 0 else 128 - status)
