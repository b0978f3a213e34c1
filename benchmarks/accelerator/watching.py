"""The watcher: starts the worker, ends it where a measurement hangs, and starts it again."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accelerator import schedule
from benchmarks.accelerator.ledger import Ledger

_LOOK = 0.2  # seconds between looks
START = 60.0  # seconds in which a worker must begin to measure
_MOST_STARTS = 12


WORKER = (sys.executable, '-m', 'benchmarks.accelerator.worker')


def watch(
  folder: Path,
  settings: dict[str, Any],
  *,
  seconds: float,
  worker: Sequence[str] = WORKER,
) -> str:
  """Runs workers until all is measured or the time is up; what ends one becomes a row.

  Args:
    folder: where the rows are.
    settings: the worker's settings.
    seconds: the time of the whole.
    worker: the command of a worker, to which its settings are added.

  Returns:
    The reason why it ended early; '' if it did not.
  """
  start, ledger = time.time(), Ledger(folder)
  settings = {**settings, 'folder': str(folder), 'start': start, 'seconds': seconds}
  for _ in range(_MOST_STARTS):
    schedule.forget(folder)
    before = len(ledger.rows())
    why = _run(folder, [*worker, json.dumps(settings)])
    now = schedule.read(folder)
    if not why:
      schedule.forget(folder)
      return ''
    if now is None:
      return f'the worker {why} before it measured anything'
    if (now.section, now.name) not in ledger.names():
      ledger.add({'section': now.section, 'name': now.name, 'failure': f'the process {why}'})
    elif len(ledger.rows()) == before:
      return f'the worker {why} between measurements'
  return f'the worker was started {_MOST_STARTS} times'


def _run(folder: Path, command: Sequence[str]) -> str:
  """Runs a worker to its end; what ended it, or '' if it was done."""
  started = time.time()
  process = subprocess.Popen(command)
  try:
    return _await(process, folder, started)
  finally:
    process.kill()
    process.wait()


def _await(process: subprocess.Popen, folder: Path, started: float) -> str:
  """Waits for a worker, no longer than for each of its measurements."""
  while process.poll() is None:
    now = schedule.read(folder)
    if time.time() > (now.until if now else started + START):
      return 'was ended: its time was used up'
    time.sleep(_LOOK)
  return f'ended with status {process.returncode}' if process.returncode else ''
