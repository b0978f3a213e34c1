"""Tables as CSV: one way to write a line, whatever the table is of."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any


def csv_text(columns: Iterable[str], lines: Iterable[Mapping[str, Any]]) -> str:
  """A header and the lines below it, each ended by a newline; empty where a value is None.

  Raises:
    ValueError: if a line has a value for a column that is not there.
  """
  text = io.StringIO()
  writer = csv.DictWriter(text, list(columns), lineterminator='\n')
  writer.writeheader()
  writer.writerows(lines)
  return text.getvalue()
