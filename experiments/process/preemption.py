"""Being asked to stop, by a signal: work that can be taken up again is saved first.

SLURM sends SIGTERM before it pre-empts a job, and SIGUSR1 where `--signal` says so before the
time limit; Kubernetes and cloud TPUs send SIGTERM. The process then ends with `STATUS`, which
the launchers take for 'run me again'. A person stops it by Ctrl-C (SIGINT) or by closing the
terminal (SIGHUP): no launcher starts it again.
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
# How a process that was asked to stop has ended, as seen by a shell or by its parent.
STOPPED = (STATUS, 128 + _INT, -_INT, 128 + _HUP, -_HUP)

_TOGETHER = 1.0  # seconds within which a terminal and a launcher tell of the same Ctrl-C

_received: list[tuple[int, float]] = []  # which, and when
_dying: list[int] = []  # of which signal the process is to die when it has ended


class Interrupted(KeyboardInterrupt):
  """The process was asked to stop, and what it had computed is saved."""


def end_at_once() -> None:
  """From now on such a signal ends the process: nothing is lost while it only starts."""
  atexit.register(_die)  # before all others, so that it is called last
  for number in _heeded():
    signal.signal(number, _end)


@contextlib.contextmanager
def handled() -> Iterator[None]:
  """Within it such a signal raises `Interrupted`, so that what is held is given back."""
  _received.clear()
  try:
    with _handling(_raise):
      yield
  finally:
    _received.clear()


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Within it such a signal is only taken down: the work asks whether to stop.

  A second Ctrl-C, at least a second later, does not wait for that.
  """
  within = signal.getsignal(signal.SIGTERM) is _raise
  try:
    with _handling(_take_down):
      yield
  finally:
    if not within:
      _received.clear()


@contextlib.contextmanager
def passing_on(send: Callable[[int], Any]) -> Iterator[None]:
  """Within it such a signal is taken down, and sent to the processes that do the work."""

  def pass_on(number: int, frame: Any) -> None:
    _take_down(number, frame, hasten=False)
    send(number)

  with _handling(pass_on):
    yield


def heed() -> None:
  """Raises `Interrupted` if there was a signal, which work that is done did not ask for."""
  if _received:
    raise Interrupted


def received() -> bool:
  """Whether this process was asked to stop."""
  return bool(_received)


def leave() -> NoReturn:
  """Ends the process as one that was asked to stop.

  Ctrl-C ends it by its signal, as a shell wants to see it that is to leave a loop.
  """
  first = _received[0][0] if _received else _INT
  if first == _INT:
    _dying.append(first)
  sys.exit(_status(first))


def _heeded() -> list[signal.Signals]:
  """The signals that are not ignored, as `nohup` has SIGHUP ignored."""
  return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
  before = {number: signal.signal(number, handler) for number in _heeded()}
  try:
    yield
  finally:
    for number, earlier in before.items():
      signal.signal(number, earlier)


def _end(number: int, frame: Any) -> NoReturn:
  del frame
  program.say('asked to stop')
  if number == _INT:
    _dying.append(number)
  _die()
  os._exit(_status(number))


def _die() -> None:
  if _dying:
    sys.stdout.flush()
    signal.signal(_dying[0], signal.SIG_DFL)
    os.kill(os.getpid(), _dying[0])


def _raise(number: int, frame: Any) -> None:
  del frame
  if _note(number):
    raise Interrupted


def _take_down(number: int, frame: Any, *, hasten: bool = True) -> None:
  del frame
  again = bool(_received)
  if not _note(number) or number != _INT or not hasten:
    return
  if again:
    raise Interrupted
  if sys.stderr.isatty():  # a person waits
    os.write(2, b'\nstops after this block of trials, or at once on another Ctrl-C\n')


def _note(number: int) -> bool:
  """Takes a signal down; false if it is one with the signal before."""
  now = time.monotonic()
  another = not _received or now - _received[-1][1] >= _TOGETHER
  _received.append((number, now))
  return another


def _status(number: int) -> int:
  """The exit status of a process that ends because of a signal."""
  return 128 + number if number in (_INT, _HUP) else STATUS
