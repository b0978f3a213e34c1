"""The inside of a contestant: a process that prepares its work, then runs it when told.

It speaks JSON, a line each way: first facts about the work, then for each line that it
reads, the wall and CPU seconds of a run. Only the standard library is imported here, so that
contestants share nothing but this.
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
  """Prepares, tells the facts, and runs for each line on standard input until its end.

  Whatever else writes to standard output is sent to standard error.

  Args:
    prepare: returns what is run and facts about it. To these are added `seconds_to_ready`
      since the process started computing, `peak_bytes`, by how much the resident memory of
      the process grows in its first run (None where Linux does not tell), and its `threads`.
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
  """A line of JSON."""
  print(json.dumps(content), file=answers, flush=True)


def _peak_bytes(run: Callable[[], Any]) -> int | None:
  """Runs once; by how much resident memory rose at most."""
  gc.collect()
  try:
    ctypes.CDLL(None).malloc_trim(0)  # else what was freed before hides what is needed now
    _CLEAR.write_text('5')  # the peak starts anew
  except (OSError, AttributeError):
    run()
    return None
  before = _status('VmRSS')
  run()
  peak = _status('VmHWM')
  return None if before is None or peak is None else 1024 * (peak - before)


def _status(name: str) -> int | None:
  """A number in what Linux says of this process."""
  if not _STATUS.exists():
    return None
  found = re.search(rf'^{name}:\s*(\d+)', _STATUS.read_text(), re.MULTILINE)
  return int(found[1]) if found else None
