"""Commands that a command runs, as processes that share its terminal and its signals."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.process import preemption

ROOT = Path(__file__).parents[2]
POLL_SECONDS, GRACE_SECONDS = 0.1, 60.0


def command(module: str, arguments: Sequence[str]) -> list[str]:
  """The command line of one of our commands."""
  return [sys.executable, '-m', f'experiments.{module}', *arguments]


def environment() -> dict[str, str]:
  """This process's own, in which our modules are found from any folder.

  The folder stays what it is, and with it the meaning of the user's relative paths.
  """
  path = filter(None, (str(ROOT), os.environ.get('PYTHONPATH')))
  return os.environ | {'PYTHONPATH': os.pathsep.join(path)}


def run(
  arguments: Sequence[str], environments: Sequence[Mapping[str, str]], *, patient: Sequence[int]
) -> int:
  """Runs one process in each of some environments, which all see this one's signals.

  Args:
    arguments: the command line.
    environments: what is added to this process's own.
    patient: the statuses of a process after which the others end of themselves, soon. After
      any other they are killed: JAX's runtime does not go on without it.

  Returns:
    The status of the first that fails, else 0.
  """
  told = environment()
  started: list[subprocess.Popen] = []
  with preemption.passing_on(lambda number: _send(started, number)):
    started.extend(subprocess.Popen(arguments, env={**told, **e}) for e in environments)
    return _wait(started, patient)


def _wait(started: Sequence[subprocess.Popen], patient: Sequence[int]) -> int:
  """Waits for all of them, but not long for the others once one has failed."""
  while all(process.poll() in (None, 0) for process in started):
    if all(process.poll() == 0 for process in started):
      return 0
    time.sleep(POLL_SECONDS)
  status = next(process.returncode for process in started if process.returncode)
  until = time.monotonic() + (GRACE_SECONDS if status in patient else 0)
  while time.monotonic() < until and any(process.poll() is None for process in started):
    time.sleep(POLL_SECONDS)
  for process in started:
    process.kill()
    process.wait()
  return status


def _send(started: Sequence[subprocess.Popen], number: int) -> None:
  for process in started:
    with contextlib.suppress(ProcessLookupError):
      process.send_signal(number)
