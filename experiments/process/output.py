"""Standard output and error of a command, whose failures never stop its work.

When the reader of a pipe ends, a disk is full or a stream was closed beforehand, the printed
text is lost and nothing else. All output passes through here: bars, logs and warnings, too.
"""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.process import program
from mamljax.errors import escaped, readable

_DESCRIPTORS = {'stdout': 1, 'stderr': 2}

# The text that a progress bar writes to move the cursor.
_MOVES = re.compile(r'\n*(\x1b\[A)*')


class Harmless:
  """A text stream that never raises, and stays silent once its reader has ended.

  Control characters are written as visible escape codes, except the cursor moves of a bar, so
  that the name of a file or folder in a message cannot change the terminal.
  """

  def __init__(self, stream: Any):
    self._stream, self._has_ended = stream, False

  def write(self, text: str) -> int:
    """Writes a text, if possible; its length is returned in any case."""
    if not self._has_ended:
      with self._suppressed():
        self._stream.write(_printable(text))
    return len(text)

  def writelines(self, lines: Iterable[str]) -> None:
    """Writes each of the lines, if possible."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """Flushes the stream, if possible."""
    if not self._has_ended:
      with self._suppressed():
        self._stream.flush()

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  @contextlib.contextmanager
  def _suppressed(self) -> Iterator[None]:
    """Ignores the errors of the stream."""
    try:
      yield
    except BrokenPipeError:
      self._has_ended = True
    except (OSError, ValueError):  # a ValueError if the stream is closed
      pass


def _printable(text: str) -> str:
  """A text that is safe for a terminal; carriage returns at its ends, as of a bar, are kept."""
  if _MOVES.fullmatch(text):
    return text
  start, inner = text[: len(text) - len(text.lstrip('\r'))], text.strip('\r')
  return start + escaped(inner) + text[len(start) + len(inner) :]


def protect() -> None:
  """Makes standard output and error harmless for the rest of the process."""
  program.fill_descriptors()
  for name, number in _DESCRIPTORS.items():
    stream: Any = getattr(sys, name)
    if stream is None:  # closed before Python started
      stream = open(number, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
    setattr(sys, name, stream if isinstance(stream, Harmless) else _harmless(stream))


def _harmless(stream: Any) -> Harmless:
  if hasattr(stream, 'reconfigure'):
    stream.reconfigure(errors='backslashreplace')  # a locale may lack some letters
  return Harmless(stream)


@contextlib.contextmanager
def protected() -> Iterator[None]:
  """Context with harmless standard output and error, restored at its end."""
  before = {name: getattr(sys, name) for name in _DESCRIPTORS}
  protect()
  try:
    yield
  finally:
    for name, stream in before.items():
      setattr(sys, name, stream)


def complain(message: str) -> None:
  """Prints the message that ends the command as one line on standard error."""
  line = readable(' '.join(message.split()))
  print(f'{program.name()}: {line}', file=sys.stderr, flush=True)
