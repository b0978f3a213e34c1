"""Commands run by a command, as processes that share its terminal and its signals."""

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
  """The environment of this process, extended so that our modules are found from any folder.

  Subprocesses keep the working folder, so that the user's relative paths keep their meaning.
  """
  path = filter(None, (str(ROOT), os.environ.get('PYTHONPATH')))
  return os.environ | {'PYTHONPATH': os.pathsep.join(path)}


def with_devices(count: int) -> dict[str, str]:
  """The variable that gives a process so many CPU devices, beside what it says already."""
  flags = os.environ.get('XLA_FLAGS', ''), f'--xla_force_host_platform_device_count={count}'
  return {'XLA_FLAGS': ' '.join(filter(None, flags))}


def run(
  arguments: Sequence[str], environments: Sequence[Mapping[str, str]], *, patient: Sequence[int]
) -> int:
  """Runs one process in each of some environments; signals to this process reach all of them.

  Args:
    arguments: the command line.
    environments: the variables that each process has in addition to this process's.
    patient: the exit statuses of a process after which the others soon end by themselves.
      After any other status they are killed, since JAX's runtime cannot continue without it.

  Returns:
    The status of the first process that fails, else 0.
  """
  common = environment()
  started: list[subprocess.Popen] = []
  with preemption.passing_on(lambda number: _send(started, number)):
    started.extend(subprocess.Popen(arguments, env={**common, **e}) for e in environments)
    return _wait(started, patient)


def _wait(started: Sequence[subprocess.Popen], patient: Sequence[int]) -> int:
  """Waits for all processes, but not for long once one of them has failed."""
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
  """Sends a signal to the processes that still run."""
  for process in started:
    with contextlib.suppress(ProcessLookupError):
      process.send_signal(number)
