"""The protocol of a contestant: a process that prepares its work, then runs it on request.

The process writes lines of JSON: first facts about the work, then for each line that it reads,
the wall and CPU seconds of a run. This module imports the standard library only, and nothing
else is common to all contestants.
"""

import ctypes
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


def serve(prepare: Callable[[], tuple[Callable[[], Any], dict[str, Any]]]) -> None:
  """Prepares the work, answers the facts, and runs once for each line on standard input.

  All other output to standard output is redirected to standard error.

  Args:
    prepare: returns the work, as a function, and facts about it. Added to these are
      `seconds_to_ready`, the time of the preparation and the first run; `peak_bytes`, the
      growth of resident memory in the first run (None if Linux does not report it); and
      `threads`, the number of threads of the process.
  """
  start = time.perf_counter()
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  run, facts = prepare()
  facts['peak_bytes'] = _peak_bytes(run)
  facts['threads'] = _status('Threads')
  _answer(answers, facts | {'seconds_to_ready': time.perf_counter() - start})
  for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    _answer(answers, {'wall': wall, 'cpu': cpu})


def _answer(answers: Any, content: dict[str, Any]) -> None:
  """Writes a line of JSON."""
  print(json.dumps(content), file=answers, flush=True)


def _peak_bytes(run: Callable[[], Any]) -> int | None:
  """Runs once, and returns the growth of the peak of resident memory."""
  gc.collect()
  try:
    ctypes.CDLL(None).malloc_trim(
      0
    )  # else memory freed before would be reused, and the growth hidden
    _CLEAR.write_text('5')  # resets the peak
  except (OSError, AttributeError):
    run()
    return None
  before = _status('VmRSS')
  run()
  peak = _status('VmHWM')
  return None if before is None or peak is None else 1024 * (peak - before)


def _status(name: str) -> int | None:
  """A number in the status of this process that Linux reports; None if there is none."""
  if not _STATUS.exists():
    return None
  match = re.search(rf'^{name}:\s*(\d+)', _STATUS.read_text(), re.MULTILINE)
  return int(match[1]) if match else None
