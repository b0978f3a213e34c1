"""Progress bars: drawn over and over on a terminal, a line a minute in a log."""

import sys
from typing import Any

from tqdm import tqdm

LINE_SECONDS = 60.0  # between two lines of a log


class _Lines:
  """A stream on which each state of a bar is a line of its own."""

  def __init__(self, stream: Any):
    self._stream = stream

  def write(self, text: str) -> None:
    """Writes a line, unless it would be blank."""
    if line := text.strip():
      self._stream.write(f'{line}\n')

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


def bar(*items: Any, **options: Any) -> Any:
  """A `tqdm` on standard error, of the items of an iterable where one is given."""
  if sys.stderr.isatty():
    return tqdm(*items, **options)
  log = {'file': _Lines(sys.stderr), 'position': 0}  # else inner bars move the cursor
  return tqdm(*items, mininterval=LINE_SECONDS, maxinterval=LINE_SECONDS, **log | options)
