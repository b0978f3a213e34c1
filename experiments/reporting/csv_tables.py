"""A CSV file of results as a table: rounded numbers, joined intervals, constants in a note."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from experiments.reporting import wording
from experiments.reporting.content import Entry, Group, Table
from mamljax.errors import InputError


def read_csv(path: Path) -> str:
  """Reads a CSV file.

  Raises:
    InputError: if the file cannot be read, or its lines do not have equally many fields.
  """
  try:
    text = path.read_text(encoding='utf-8')
    lengths = {len(line) for line in csv.reader(io.StringIO(text), strict=True)}
  except (OSError, ValueError, csv.Error) as error:
    raise InputError(f'cannot read {path}: {error}') from error
  if len(lengths) != 1:
    raise InputError(f'{path} is damaged: its lines have {sorted(lengths)} fields')
  return text


def csv_table(caption: str, text: str) -> Table:
  """The table of a CSV file.

  A rate with its `_low` and `_high` becomes two columns: the rate and its interval. An empty
  column is left out. A column with the same value in all of several lines moves to the note.

  Args:
    caption: the caption of the table.
    text: the text of the file, from `read_csv`.
  """
  header, *lines = csv.reader(io.StringIO(text))
  columns = {name: [line[index] for line in lines] for index, name in enumerate(header)}
  bounded = [name for name in header if f'{name}_low' in columns and f'{name}_high' in columns]
  constant = [] if len(lines) < 2 else [n for n in header if len(set(columns[n])) == 1]
  bounds = {f'{name}_{end}' for name in bounded for end in ('low', 'high')}
  shown: dict[str, list[str]] = {}
  for name in header:
    if name in bounds or not any(columns[name]) or (name in constant and name not in bounded):
      continue
    shown[wording.heading(name)] = _texts(name, columns[name], rates=name in bounded)
    if name in bounded:
      shown[f'{wording.heading(name)}: 95 % interval'] = [
        wording.interval(_number(low), _number(high))
        for low, high in zip(columns[f'{name}_low'], columns[f'{name}_high'], strict=True)
      ]
  return Table(
    caption=caption,
    headings=[*shown],
    numeric=[_is_numeric(texts) for texts in shown.values()],
    groups=[Group('', [[*map(Entry, row)] for row in zip(*shown.values(), strict=True)])],
    note=_note(
      [(name, columns[name][0]) for name in constant if name not in bounds | {*bounded}]
    ),
  )


def _texts(name: str, column: Sequence[str], *, rates: bool) -> list[str]:
  """The fields of a column in the form that a reader sees."""
  numbers = [_number(field) for field in column]
  if any(number is None and field for number, field in zip(numbers, column, strict=True)):
    return [wording.value(name, field) if field else wording.NOTHING for field in column]
  if rates:
    return [wording.rate(number) for number in numbers]
  texts = wording.aligned([number for number in numbers if number is not None])
  return [wording.NOTHING if number is None else texts.pop(0) for number in numbers]


def _note(constant: Sequence[tuple[str, str]]) -> str:
  """The note that gives the constant columns, from their names and values."""
  facts = [
    f'{wording.heading(name)} {wording.value(name, text)}' for name, text in constant if text
  ]
  return f'In every line: {", ".join(facts)}.' if facts else ''


def _number(field: str) -> float | None:
  """The number in a field; None if it holds another text."""
  try:
    return float(field)
  except ValueError:
    return None


def _is_numeric(texts: Sequence[str]) -> bool:
  """Tests whether a column reads as numbers."""
  return all(text[:1] in f'0123456789[{wording.MINUS}{wording.NOTHING}' for text in texts)
