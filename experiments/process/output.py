"""Standard output and error of a command, whose trouble is never that of its work.

A reader ends, a disk is full, a stream was closed beforehand: what is printed is lost then, and
nothing else. Everything printed goes through here: bars, logs and warnings, too.
"""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.process import program
from mamljax.errors import escaped, readable

_NUMBERS = {'stdout': 1, 'stderr': 2}  # of their descriptors


# What a bar writes by itself, to move the cursor.
_MOVES = re.compile(r'\n*(\x1b\[A)*')


class Harmless:
  """A text stream that never raises; silent once its reader has ended.

  What moves a cursor or changes colours is written as its escape code, but for the moves of a
  bar: the name of a folder or file, in whatever message, does nothing to a terminal.
  """

  def __init__(self, stream: Any):
    self._stream, self._ended = stream, False

  def write(self, text: str) -> int:
    """Writes it if it can be written."""
    if not self._ended:
      with self._trouble():
        self._stream.write(_shown(text))
    return len(text)

  def writelines(self, lines: Iterable[str]) -> None:
    """Writes each."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """Hands on what was written, if it can be."""
    if not self._ended:
      with self._trouble():
        self._stream.flush()

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  @contextlib.contextmanager
  def _trouble(self) -> Iterator[None]:
    try:
      yield
    except BrokenPipeError:
      self._ended = True
    except (OSError, ValueError):  # the latter of a stream that is closed
      pass


def _shown(text: str) -> str:
  """A text as a terminal may have it; a bar begins its line anew at the ends of its own."""
  if _MOVES.fullmatch(text):
    return text
  begun, inner = text[: len(text) - len(text.lstrip('\r'))], text.strip('\r')
  return begun + escaped(inner) + text[len(begun) + len(inner) :]


def protect() -> None:
  """Makes standard output and error harmless for the rest of the process."""
  program.fill_descriptors()
  for name, number in _NUMBERS.items():
    stream: Any = getattr(sys, name)
    if stream is None:  # closed before Python started
      stream = open(number, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
    setattr(sys, name, stream if isinstance(stream, Harmless) else _harmless(stream))


def _harmless(stream: Any) -> Harmless:
  if hasattr(stream, 'reconfigure'):
    stream.reconfigure(errors='backslashreplace')  # a locale may not know every letter
  return Harmless(stream)


@contextlib.contextmanager
def protected() -> Iterator[None]:
  """Standard output and error are harmless within it."""
  before = {name: getattr(sys, name) for name in _NUMBERS}
  protect()
  try:
    yield
  finally:
    for name, stream in before.items():
      setattr(sys, name, stream)


def complain(message: str) -> None:
  """Says on standard error, in one line, what ends the command."""
  line = readable(' '.join(message.split()))
  print(f'{program.name()}: {line}', file=sys.stderr, flush=True)
