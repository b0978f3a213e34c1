"""Cells that failed: STORE/failures/<hash>.json, how often, and with which traceback."""

import json
import socket
import time
import traceback
from pathlib import Path
from typing import Annotated, NamedTuple

from experiments.store import records
from mamljax import atomic


class Failure(NamedTuple):
  """What is known of a cell that failed.

  Attributes:
    cell: its short name.
    times: how often it failed.
    reason: the last error in a line.
    traceback: of the last time.
    host, when: where and when that was, in seconds since 1970.
  """

  cell: str
  times: Annotated[int, 1]
  reason: str
  traceback: str
  host: str
  when: float


def record(store_dir: Path, name: str, cell: str, error: BaseException) -> Failure:
  """Adds a failure of the cell of this hash to those before."""
  before = find(store_dir, name)
  reason = ' '.join(str(error).split()) or type(error).__name__
  failure = Failure(
    cell=cell,
    times=1 + (before.times if before else 0),
    reason=f'{type(error).__name__}: {reason}',
    traceback=''.join(traceback.format_exception(error)),
    host=socket.gethostname(),
    when=time.time(),
  )
  atomic.write_text(_path(store_dir, name), json.dumps(failure._asdict(), indent=1) + '\n')
  return failure


def find(store_dir: Path, name: str) -> Failure | None:
  """What was recorded; None if nothing was."""
  try:
    return records.read_json(_path(store_dir, name), Failure)
  except (OSError, records.Unfit):
    return None  # a damaged record costs one more try


def forget(store_dir: Path, name: str) -> None:
  """Deletes the record: the cell has a result."""
  atomic.remove(_path(store_dir, name))


def _path(store_dir: Path, name: str) -> Path:
  return store_dir / 'failures' / f'{name}.json'
