"""Tables as text: CSV for programs, aligned columns for people."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA_STARTS = (
  '=',
  '+',
  '-',
  '@',
  '\t',
  '\r',
)  # first characters of a formula in a spreadsheet


def csv_text(columns: Iterable[str], lines: Iterable[Mapping[str, Any]]) -> str:
  """A header and lines as CSV, each ended by a newline; None makes an empty field.

  Raises:
    ValueError: if a line has a value for an unknown column.
  """
  columns, lines = list(columns), list(lines)
  unknown = set[str]().union(*lines) - {*columns}
  if unknown:
    raise ValueError(f'no columns for {", ".join(sorted(unknown))}')
  return text_of([columns, *([line.get(name) for name in columns] for line in lines)])


def text_of(rows: Iterable[Sequence[Any]]) -> str:
  """Rows as CSV, each ended by a newline.

  A text that a spreadsheet would compute as a formula, such as the name of a folder, gets the
  apostrophe that marks it as text. Numbers stay as they are, signs included.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerows([_harmless(value) for value in row] for row in rows)
  return text.getvalue()


def _harmless(value: Any) -> Any:
  """A value in a form that no spreadsheet computes."""
  if not isinstance(value, str) or not value.startswith(_FORMULA_STARTS) or _is_number(value):
    return value
  return f"'{value}"


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return True


def aligned(rows: Sequence[Sequence[str]]) -> str:
  """Rows as lines of text, each column as wide as its widest entry and flush right.

  >>> print(aligned([('size', 's'), ('3', '0.25')]))
  size     s
     3  0.25
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(text.rjust(width) for text, width in zip(row, widths, strict=True))
    for row in rows
  )
