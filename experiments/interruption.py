"""Being asked to stop: SIGTERM and SIGUSR1 end a sweep at the next block, its work saved.

SLURM sends SIGTERM before it pre-empts a job, and SIGUSR1 where `--signal` says so before the
time limit; Kubernetes and cloud TPUs send SIGTERM. The process then ends with `STATUS`, which
the launchers take for 'run me again'.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from experiments import distributed

STATUS = os.EX_TEMPFAIL if hasattr(os, 'EX_TEMPFAIL') else 75  # sysexits.h: try again later
SIGNALS = tuple(
  getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name)
)

_received: list[int] = []


class Interrupted(Exception):
  """The process was asked to stop, and what it had computed is saved."""


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Takes the signals down instead of dying of them, for as long as it lasts."""
  _received.clear()
  before = {number: signal.signal(number, _take_down) for number in SIGNALS}
  try:
    yield
  finally:
    _received.clear()
    for number, handler in before.items():
      signal.signal(number, handler)


def asked() -> bool:
  """Whether any of the processes that compute together was asked to stop.

  All of them must call it equally often: they stop at the same block, or would wait for each
  other forever.
  """
  return distributed.any_process(bool(_received))


def _take_down(number: int, frame: Any) -> None:
  del frame
  _received.append(number)
