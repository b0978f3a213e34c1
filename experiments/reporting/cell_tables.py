"""The tables of a sweep: the rates of its cells beside those that the paper prints."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from experiments.analysis.curves.series import NOISE, find_curves
from experiments.analysis.results_csv import row
from experiments.analysis.text import csv_text
from experiments.config import columns as cell_columns
from experiments.reporting import wording
from experiments.reporting.content import Entry, Group, Table
from experiments.store.cells import CellResult, Summary

Record = dict[str, Any]

PRINTED = ('accuracy', 'recall', 'precision')
AGREES = Entry('✓ agrees', 'agrees')
HIGHER = Entry('▲ higher', 'higher')
LOWER = Entry('▼ lower', 'lower')

VERDICT = 'verdict'

_NOTE = (
  'A printed value agrees if it lies in our interval. Printed values rest on 100 trials, so '
  'their intervals reach about 0.04 to 0.10 to either side.'
)
_GROUPED = ('dataset', 'target')
_SIZE = ('ways', 'shots')
_IMPLIED = ('chunk', 'calibration_trials')  # by the size and by the attack
_OF_NOISE = ('defence', 'noise_mean', 'clip_noisy_images')


class Line(NamedTuple):
  """A row before its columns are chosen: the names in front, and the record of its cell."""

  names: list[str]
  record: Record


class Column(NamedTuple):
  """A column of a table: a heading, and a function from a record to the entry."""

  heading: str
  show: Callable[[Record], Entry]
  numeric: bool = True


Lines = list[tuple[str, list[Line]]]


def record(result: Summary) -> Record:
  """The line of results.csv for a cell, with comparisons to the paper.

  For each rate that the paper prints, `<rate>_difference` is our rate minus the printed one,
  and `<rate>_verdict` is 'agrees' if the printed rate lies in our 95 % interval, or tells that
  ours is 'higher' or 'lower'. A missing value is None.
  """
  line = row(result)
  for name in PRINTED:
    comparable = None not in (line[name], line[f'paper_{name}'])
    difference = line[name] - line[f'paper_{name}'] if comparable else None
    line[f'{name}_difference'] = difference
    line[f'{name}_verdict'] = verdict(line, name).mark or None
  return line


def verdict(line: Record, name: str) -> Entry:
  """The comparison of our interval of a rate with the printed value."""
  printed, low, high = (line[key] for key in (f'paper_{name}', f'{name}_low', f'{name}_high'))
  if None in (printed, low, high):
    return Entry(wording.NOTHING)
  if low <= printed <= high:
    return AGREES
  return HIGHER if printed < low else LOWER


def cell_tables(results: Sequence[CellResult], x: str) -> list[Table]:
  """The tables of a sweep: accuracy and ranking, and without curves recall and precision too.

  Args:
    results: the finished cells of the sweep.
    x: the field that its curves are drawn along; '' if it has no curves.
  """
  names, lines = _curve_lines(results, x) if x else _size_lines(results)
  ranking = [
    *rate_columns('accuracy'),
    *rate_columns('auc'),
    Column('TPR at 1 % FPR', lambda line: Entry(wording.rate(line['tpr_at_fpr_1pct']))),
    *rate_columns('learning_accuracy', bounds='learning', heading='learning accuracy'),
    Column('labels inferred', lambda line: Entry(wording.rate(line['label_accuracy']))),
    Column('time per candidate', _time),
  ]
  tables = [tabulate('Accuracy and ranking', names, lines, ranking)]
  if not x:
    columns = [*rate_columns('recall'), *rate_columns('precision')]
    tables.append(tabulate('Recall and precision', names, lines, columns))
  return tables


def rate_columns(name: str, *, bounds: str = '', heading: str = '') -> list[Column]:
  """The columns of a rate: value, interval and, if the paper prints it, the comparison.

  Args:
    name: name of the rate in a record.
    bounds: name before `_low` and `_high` of its interval in a record; `name` by default.
    heading: heading of the first column; `wording.heading(name)` by default.
  """
  low, high = (f'{bounds or name}_{end}' for end in ('low', 'high'))
  columns = [
    Column(heading or wording.heading(name), lambda line: Entry(wording.rate(line[name]))),
    Column('95 % interval', lambda line: Entry(wording.interval(line[low], line[high]))),
  ]
  if name in PRINTED:
    columns += [
      Column('printed', lambda line: _optional(line[f'paper_{name}'], '{:.2f}'.format)),
      Column(
        f'ours {wording.MINUS} printed',
        lambda line: _optional(line[f'{name}_difference'], wording.difference),
      ),
      Column(VERDICT, lambda line: verdict(line, name), numeric=False),
    ]
  return columns


def tabulate(
  caption: str, names: Sequence[str], groups: Lines, columns: Sequence[Column]
) -> Table:
  """A table of groups of lines, without the columns that hold no value."""
  shown = [
    column
    for column in columns
    if any(column.show(line.record).text != wording.NOTHING for _, g in groups for line in g)
  ]
  compares = any(column.heading == VERDICT for column in shown)
  return Table(
    caption=caption,
    note=_NOTE if compares else '',
    headings=[*names, *(column.heading for column in shown)],
    numeric=[*(False for _ in names), *(column.numeric for column in shown)],
    groups=[
      Group(heading, [_entries(line, shown) for line in lines]) for heading, lines in groups
    ],
  )


def records_csv(records: Iterable[Record]) -> str:
  """The records as CSV; a missing value makes an empty field."""
  records = list(records)
  return csv_text(dict.fromkeys(name for line in records for name in line), records)


def varying(results: Sequence[CellResult]) -> list[str]:
  """The fields that differ among cells, without those that follow from others."""
  fields = cell_columns.varying([result.columns for result in results])
  return [name for name in fields if name not in _IMPLIED]


def _size_lines(results: Sequence[CellResult]) -> tuple[list[str], Lines]:
  """Lines grouped by data set and target, and named by ways, shots and other varying fields."""
  fields = [*_SIZE, *(name for name in varying(results) if name not in (*_GROUPED, *_SIZE))]
  groups: dict[str, list[Line]] = {}
  for result in results:
    cell = result.columns
    names = [
      wording.NOTHING if cell.get(name) is None else wording.value(name, cell[name])
      for name in fields
    ]
    groups.setdefault(wording.label(cell, _GROUPED), []).append(Line(names, record(result)))
  return [wording.heading(name) for name in fields], [*groups.items()]


def _curve_lines(results: Sequence[CellResult], x: str) -> tuple[list[str], Lines]:
  """Lines grouped by curve and named by x; along the noise scale, by the standard deviation."""
  groups: Lines = []
  along = {x, *(_OF_NOISE if x == NOISE else ())}
  fields = [*_GROUPED, *(name for name in varying(results) if name not in {*_GROUPED, *along})]
  for curve in find_curves(results, x):
    heading = [wording.label(curve.cells[0].columns, fields)]
    heading += [f'noise on {curve.noise}'] if curve.noise else []
    start = [Line(['none'], record(curve.undefended))] if curve.undefended else []
    points = zip(curve.xs, curve.cells, strict=True)
    lines = [Line([wording.value(x, at)], record(result)) for at, result in points]
    groups.append((', '.join(heading), start + lines))
  return ['standard deviation' if x == NOISE else wording.heading(x)], groups


def _entries(line: Line, columns: Sequence[Column]) -> list[Entry]:
  """A row of a table."""
  return [*map(Entry, line.names), *(column.show(line.record) for column in columns)]


def _optional(number: float | None, form: Callable[[float], str]) -> Entry:
  """The entry for a number that may be missing."""
  return Entry(wording.NOTHING if number is None else form(number))


def _time(line: Record) -> Entry:
  return Entry(wording.duration(line['seconds_per_trial']))
