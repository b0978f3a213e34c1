"""Tables for a person: one way to line up columns."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
  """The rows as lines, each column as wide as its widest entry and flush right.

  >>> print(aligned([('size', 's'), ('3', '0.25')]))
  size     s
     3  0.25
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(text.rjust(width) for text, width in zip(row, widths, strict=True))
    for row in rows
  )
