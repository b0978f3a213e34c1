"""Signals that ask a process to stop, after it has saved the work that can be resumed.

SLURM sends SIGTERM before it pre-empts a job, and SIGUSR1 before the time limit if `--signal`
asks for it; Kubernetes and cloud TPUs send SIGTERM. The process then ends with `STATUS`, after
which the launchers run it again. A person stops it by Ctrl-C (SIGINT) or by closing the
terminal (SIGHUP), after which no launcher starts it again.
"""

import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from experiments.process import program

STATUS = os.EX_TEMPFAIL if hasattr(os, 'EX_TEMPFAIL') else 75  # sysexits.h: try again later
_NAMES = ('SIGTERM', 'SIGUSR1', 'SIGINT', 'SIGHUP')
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_INT, _HUP = 2, 1
# The exit statuses of a process that was asked to stop, as seen by a shell or by its parent.
STOPPED = (STATUS, 128 + _INT, -_INT, 128 + _HUP, -_HUP)

_TOGETHER = 1.0  # seconds within which a terminal and a launcher pass on the same Ctrl-C

_received: list[tuple[int, float]] = []  # the signals, each with its time
_dying: list[int] = []  # the signal that is to kill the process when it has ended, if any


class Interrupted(KeyboardInterrupt):
  """Raised when the process was asked to stop, after its results are saved."""


def end_at_once() -> None:
  """Lets a signal end the process at once from now on: a starting process has no results."""
  atexit.register(_die)  # registered before all others, so that it is called last
  for number in _heeded():
    signal.signal(number, _end)


@contextlib.contextmanager
def handled() -> Iterator[None]:
  """Context in which a signal raises `Interrupted`, so that claims are released."""
  _received.clear()
  try:
    with _handling(_raise):
      yield
  finally:
    _received.clear()


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Context in which a signal is only recorded; the work asks `received` whether to stop.

  A second Ctrl-C, at least a second after the first, raises `Interrupted` at once.
  """
  is_handled = signal.getsignal(signal.SIGTERM) is _raise
  try:
    with _handling(_record):
      yield
  finally:
    if not is_handled:
      _received.clear()


@contextlib.contextmanager
def passing_on(send: Callable[[int], Any]) -> Iterator[None]:
  """Context in which a signal is recorded and sent to the processes that do the work."""

  def pass_on(number: int, frame: Any) -> None:
    _record(number, frame, hasten=False)
    send(number)

  with _handling(pass_on):
    yield


def heed() -> None:
  """Raises `Interrupted` if a signal came after the last block of work had asked for one."""
  if _received:
    raise Interrupted


def received() -> bool:
  """Tests whether this process was asked to stop."""
  return bool(_received)


def leave() -> NoReturn:
  """Ends the process with the status of one that was asked to stop.

  After Ctrl-C the process dies of the signal itself, since a shell leaves its loop only then.
  """
  first = _received[0][0] if _received else _INT
  if first == _INT:
    _dying.append(first)
  sys.exit(_status(first))


def _heeded() -> list[signal.Signals]:
  """The signals to handle: all but those that are ignored, such as SIGHUP under `nohup`."""
  return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
  """Context with a handler for all signals, after which the earlier handlers are restored."""
  before = {number: signal.signal(number, handler) for number in _heeded()}
  try:
    yield
  finally:
    for number, earlier in before.items():
      signal.signal(number, earlier)


def _end(number: int, frame: Any) -> NoReturn:
  """Handler that ends the process at once."""
  del frame
  program.say('asked to stop')
  if number == _INT:
    _dying.append(number)
  _die()
  os._exit(_status(number))


def _die() -> None:
  """Kills the process by the signal that it is to die of, if there is one."""
  if _dying:
    sys.stdout.flush()
    signal.signal(_dying[0], signal.SIG_DFL)
    os.kill(os.getpid(), _dying[0])


def _raise(number: int, frame: Any) -> None:
  """Handler that raises `Interrupted`."""
  del frame
  if _note(number):
    raise Interrupted


def _record(number: int, frame: Any, *, hasten: bool = True) -> None:
  """Handler that records a signal, and raises `Interrupted` on another Ctrl-C if `hasten`."""
  del frame
  is_repeated = bool(_received)
  if not _note(number) or number != _INT or not hasten:
    return
  if is_repeated:
    raise Interrupted
  if sys.stderr.isatty():  # a person watches
    os.write(2, b'\nstops after this block of trials, or at once on another Ctrl-C\n')


def _note(number: int) -> bool:
  """Notes a signal; false if it is the same request as the signal just before."""
  now = time.monotonic()
  is_new = not _received or now - _received[-1][1] >= _TOGETHER
  _received.append((number, now))
  return is_new


def _status(number: int) -> int:
  """The exit status of a process that ends because of a signal."""
  return 128 + number if number in (_INT, _HUP) else STATUS
