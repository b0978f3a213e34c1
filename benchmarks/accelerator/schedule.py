"""The measurement that runs, and its deadline, in a file from the worker to the watcher."""

import json
from pathlib import Path
from typing import NamedTuple

from mamljax import atomic

PATIENCE, GRACE = 4.0, 8.0  # shares of a measurement, seconds after a section's time


class Now(NamedTuple):
  """The measurement that runs.

  Attributes:
    section: its section.
    name: its name.
    until: the time, in seconds since 1970, at which the worker is ended.
  """

  section: str
  name: str
  until: float


def limit(share: float, left: float, *, least: float) -> float:
  """The seconds after which a measurement is ended, compilation included.

  >>> limit(1, 100, least=20), limit(10, 100, least=20), limit(10, 5, least=20)
  (20, 40.0, 13.0)
  """
  return min(max(least, PATIENCE * share), left + GRACE)


def write(folder: Path, now: Now) -> None:
  """Tells the watcher."""
  atomic.write_text(_path(folder), json.dumps(now))


def read(folder: Path) -> Now | None:
  """The measurement that runs; None before the first."""
  path = _path(folder)
  return Now(*json.loads(path.read_text(encoding='utf-8'))) if path.exists() else None


def forget(folder: Path) -> None:
  """Takes the file away."""
  _path(folder).unlink(missing_ok=True)


def _path(folder: Path) -> Path:
  return folder / 'running.json'
