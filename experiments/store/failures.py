"""Records of failed cells, with count and traceback: STORE/failures/<hash>.json."""

import json
import socket
import time
import traceback
from pathlib import Path
from typing import Annotated, NamedTuple

from experiments.store import records
from mamljax import atomic


class Failure(NamedTuple):
  """The record of a failed cell.

  Attributes:
    cell: short name of the cell.
    times: number of failures.
    reason: the last error in one line.
    traceback: the traceback of the last error.
    host: name of the machine of the last failure.
    when: time of the last failure, in seconds since 1970.
  """

  cell: str
  times: Annotated[int, 1]
  reason: str
  traceback: str
  host: str
  when: float


def record(store_dir: Path, name: str, cell: str, error: BaseException) -> Failure:
  """Records a failure of the cell of this hash, counted on from earlier ones."""
  earlier = find(store_dir, name)
  reason = ' '.join(str(error).split()) or type(error).__name__
  failure = Failure(
    cell=cell,
    times=1 + (earlier.times if earlier else 0),
    reason=f'{type(error).__name__}: {reason}',
    traceback=''.join(traceback.format_exception(error)),
    host=socket.gethostname(),
    when=time.time(),
  )
  atomic.write_text(_path(store_dir, name), json.dumps(failure._asdict(), indent=1) + '\n')
  return failure


def find(store_dir: Path, name: str) -> Failure | None:
  """The record of the cell of this hash; None if there is none."""
  try:
    return records.read_json(_path(store_dir, name), Failure)
  except (OSError, records.Unfit):
    return None  # a damaged record costs no more than another attempt


def forget(store_dir: Path, name: str) -> None:
  """Deletes the record of the cell of this hash, once the cell has a result."""
  atomic.remove(_path(store_dir, name))


def _path(store_dir: Path, name: str) -> Path:
  return store_dir / 'failures' / f'{name}.json'
