"""Files of a report: the suffix of a path names the format."""

import os
from pathlib import Path
from typing import Protocol

from mamljax import atomic
from mamljax.errors import InputError

SUFFIXES = ('.html', '.json')


class Written(Protocol):
  """A report that can be written."""

  def to_html(self) -> str:
    """The report as one self-contained HTML page."""
    ...

  def to_json(self) -> str:
    """The report as JSON."""
    ...


def save(report: Written, path: str | os.PathLike[str]) -> None:
  """Writes a report, whole or not at all, in the format that the suffix names.

  Raises:
    InputError: if the suffix is neither .html nor .json, or the folder cannot be written.
  """
  suffix = Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise InputError(f'a report is saved as .html or .json, not as {Path(path).name!r}')
  atomic.write_text(path, report.to_html() if suffix == '.html' else report.to_json())
