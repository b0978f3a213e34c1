"""The tables of a sweep: what its cells found, beside what the paper prints."""

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
  'Ours agrees where the printed value lies in our interval. Printed values rest on 100 trials '
  'and have intervals of their own, of about 0.04 to 0.10 to either side.'
)
_GROUPED = ('dataset', 'target')
_SIZE = ('ways', 'shots')
_FOLLOWS = ('chunk', 'calibration_trials')  # from the size, and from the attack
_OF_NOISE = ('defence', 'noise_mean', 'clip_noisy_images')


class Line(NamedTuple):
  """A row before its columns are chosen: what names it, and all that is known of it."""

  names: list[str]
  record: Record


class Column(NamedTuple):
  """What a column shows of a record."""

  heading: str
  show: Callable[[Record], Entry]
  numeric: bool = True


Lines = list[tuple[str, list[Line]]]


def record(result: Summary) -> Record:
  """The line of results.csv for a cell, and what follows from it.

  Adds, for each printed rate, `<rate>_difference` (ours less the paper's) and
  `<rate>_verdict` ('agrees' if the paper's lies in our 95 % interval, or ours is 'higher'
  or 'lower'). None where no value is.
  """
  line = row(result)
  for name in PRINTED:
    known = None not in (line[name], line[f'paper_{name}'])
    line[f'{name}_difference'] = line[name] - line[f'paper_{name}'] if known else None
    line[f'{name}_verdict'] = verdict(line, name).mark or None
  return line


def verdict(line: Record, name: str) -> Entry:
  """Whether the printed rate lies in our interval, and if not, on which side we are."""
  printed, low, high = (line[key] for key in (f'paper_{name}', f'{name}_low', f'{name}_high'))
  if None in (printed, low, high):
    return Entry(wording.NOTHING)
  if low <= printed <= high:
    return AGREES
  return HIGHER if printed < low else LOWER


def cell_tables(results: Sequence[CellResult], x: str) -> list[Table]:
  """What the cells found: accuracy and ranking; recall and precision where nothing varies
  along a curve.

  Args:
    results: of one sweep.
    x: the field that its curves are drawn along; '' for none.
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
  """A rate with its interval and, if the paper has it, the comparison.

  Args:
    name: of the rate in a record.
    bounds: what `_low` and `_high` follow; default `name`.
    heading: default `wording.heading(name)`.
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
  """A table of lines; a column without a single value is left out."""
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
  """The records as CSV, empty where no value is."""
  records = list(records)
  return csv_text(dict.fromkeys(name for line in records for name in line), records)


def varying(results: Sequence[CellResult]) -> list[str]:
  """The fields of cells whose values differ, but for those that follow from others."""
  found = cell_columns.varying([result.columns for result in results])
  return [name for name in found if name not in _FOLLOWS]


def _size_lines(results: Sequence[CellResult]) -> tuple[list[str], Lines]:
  """Lines under their data set and target, named by ways, shots and what else varies."""
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
  """Lines under their curve, named by x: the standard deviation along the noise scale."""
  groups: Lines = []
  apart = {x, *(_OF_NOISE if x == NOISE else ())}
  fields = [*_GROUPED, *(name for name in varying(results) if name not in {*_GROUPED, *apart})]
  for curve in find_curves(results, x):
    said = [wording.label(curve.cells[0].columns, fields)]
    said += [f'noise on {curve.noise}'] if curve.noise else []
    start = [Line(['none'], record(curve.undefended))] if curve.undefended else []
    points = zip(curve.xs, curve.cells, strict=True)
    lines = [Line([wording.value(x, at)], record(result)) for at, result in points]
    groups.append((', '.join(said), start + lines))
  return ['standard deviation' if x == NOISE else wording.heading(x)], groups


def _entries(line: Line, columns: Sequence[Column]) -> list[Entry]:
  return [*map(Entry, line.names), *(column.show(line.record) for column in columns)]


def _optional(number: float | None, form: Callable[[float], str]) -> Entry:
  return Entry(wording.NOTHING if number is None else form(number))


def _time(line: Record) -> Entry:
  return Entry(wording.duration(line['seconds_per_trial']))
