"""A CSV file of results as a table: numbers rounded, intervals joined, constants told once."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from experiments.reporting import wording
from experiments.reporting.content import Entry, Group, Table
from mamljax.errors import InputError


def read_csv(path: Path) -> str:
  """The text of a CSV file.

  Raises:
    InputError: if it cannot be read, or is not a header with equally long lines.
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
  """The table of a CSV file, as `read_csv` gives it.

  A rate and its `_low` and `_high` become two columns; a column that is empty is left out,
  and one that says the same in each of several lines is told in the note.
  """
  header, *lines = csv.reader(io.StringIO(text))
  columns = {name: [line[index] for line in lines] for index, name in enumerate(header)}
  bounded = [name for name in header if f'{name}_low' in columns and f'{name}_high' in columns]
  same = [] if len(lines) < 2 else [n for n in header if len(set(columns[n])) == 1]
  bounds = {f'{name}_{end}' for name in bounded for end in ('low', 'high')}
  shown: dict[str, list[str]] = {}
  for name in header:
    if name in bounds or not any(columns[name]) or (name in same and name not in bounded):
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
    note=_note([(name, columns[name][0]) for name in same if name not in bounds | {*bounded}]),
  )


def _texts(name: str, column: Sequence[str], *, rates: bool) -> list[str]:
  """The fields of a column for a reader."""
  numbers = [_number(field) for field in column]
  if any(number is None and field for number, field in zip(numbers, column, strict=True)):
    return [wording.value(name, field) if field else wording.NOTHING for field in column]
  if rates:
    return [wording.rate(number) for number in numbers]
  known = wording.aligned([number for number in numbers if number is not None])
  return [wording.NOTHING if number is None else known.pop(0) for number in numbers]


def _note(same: Sequence[tuple[str, str]]) -> str:
  """What holds for all lines."""
  said = [f'{wording.heading(name)} {wording.value(name, text)}' for name, text in same if text]
  return f'In every line: {", ".join(said)}.' if said else ''


def _number(field: str) -> float | None:
  try:
    return float(field)
  except ValueError:
    return None


def _is_numeric(texts: Sequence[str]) -> bool:
  return all(text[:1] in f'0123456789[{wording.MINUS}{wording.NOTHING}' for text in texts)
