"""Files of a report: the suffix of a path names the format."""

import abc
import os
from pathlib import Path

from mamljax import atomic
from mamljax.errors import InputError

SUFFIXES = ('.html', '.json')


class Written(abc.ABC):
  """A report that can be shown and written, for one to derive from."""

  @abc.abstractmethod
  def to_html(self, *, fragment: bool = False) -> str:
    """The report as one self-contained HTML page, or as a fragment of one."""

  @abc.abstractmethod
  def to_json(self) -> str:
    """The report as JSON."""

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the report, whole or not at all, in the format that the suffix names.

    Args:
      path: a file that ends in .html or .json.

    Raises:
      InputError: if it ends in anything else, or the folder cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
      raise InputError(f'a report is saved as .html or .json, not as {Path(path).name!r}')
    atomic.write_text(path, self.to_html() if suffix == '.html' else self.to_json())

  def _repr_html_(self) -> str:
    """A fragment of HTML for notebooks."""
    return self.to_html(fragment=True)
