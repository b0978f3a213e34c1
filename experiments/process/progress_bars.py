"""Progress bars: redrawn in place on a terminal, one line a minute in a log."""

import sys
from typing import Any

from tqdm import tqdm

LINE_SECONDS = 60.0  # between two lines in a log


class _Lines:
  """A stream that writes each state of a bar as a separate line."""

  def __init__(self, stream: Any):
    self._stream = stream

  def write(self, text: str) -> None:
    """Writes a line, unless it would be blank."""
    if line := text.strip():
      self._stream.write(f'{line}\n')

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


def bar(*items: Any, **options: Any) -> Any:
  """A `tqdm` on standard error, over an iterable if one is given."""
  if sys.stderr.isatty():
    return tqdm(*items, **options)
  log = {'file': _Lines(sys.stderr), 'position': 0}  # else an inner bar moves the cursor
  return tqdm(*items, mininterval=LINE_SECONDS, maxinterval=LINE_SECONDS, **log | options)
