"""A run of any kind as a section of the report."""

from collections.abc import Sequence

from experiments.analysis.catalogue import described
from experiments.reporting import wording
from experiments.reporting.cell_tables import cell_tables, record, records_csv, varying
from experiments.reporting.content import Section, Table
from experiments.reporting.csv_tables import csv_table, read_csv
from experiments.reporting.findings import findings
from experiments.reporting.illustrations import galleries, glance, lead, roc_curves
from experiments.reporting.results_folder import ResultsFolder
from experiments.store.cells import CellResult

# Questions of runs outside the catalogue, by their command.
_QUESTIONS = {
  'sweep': 'How well does the attack tell members from non-members?',
  'train': 'How well do the models learn new tasks?',
  'runtime': 'How long does an attacked candidate take?',
  'identifiability': 'Can different data send the same gradient?',
}


def make_section(results: ResultsFolder) -> Section:
  """The section of a run, without the files that do not exist yet, such as a figure.

  Raises:
    InputError: if a file of the run is damaged.
  """
  run = results.run
  entry = described(results.folder)
  tables, text = _tables(results)
  return Section(
    anchor=wording.anchor(results.name),
    title=entry.title if entry else results.name.replace('_', ' '),
    question=entry.question if entry else _QUESTIONS.get(run.kind, ''),
    claim=f'The paper: {entry.claim}.' if entry and entry.claim else '',
    findings=findings(results.cells, run.x),
    lead=lead(results),
    tables=tables,
    figures=[*roc_curves(results), *glance(results)],
    galleries=list(galleries(results)),
    trials=_trials(results.cells),
    settings=_settings(results.cells),
    command=run.command,
    csv=text,
  )


def _tables(results: ResultsFolder) -> tuple[list[Table], str]:
  """The tables of a run, and the CSV behind them."""
  if results.cells:
    return cell_tables(results.cells, results.run.x), records_csv(map(record, results.cells))
  path = results.path('.csv')
  if not path.exists():
    return [], ''
  text = read_csv(path)
  return [csv_table('All measurements', text)], text


def _trials(cells: Sequence[CellResult]) -> str:
  """The numbers of cells and trials, and the choice of thresholds, in a sentence."""
  if not cells:
    return ''
  reported = wording.several(cell.columns['trials'] for cell in cells)
  each = f'{reported} reported trials each, the threshold {_threshold(cells)}'
  return f'{len(cells)} cell{"s" if len(cells) > 1 else ""} of {each}.'


def _threshold(cells: Sequence[CellResult]) -> str:
  """The choice of the thresholds, in words."""
  counts = [cell.columns['calibration_trials'] for cell in cells]
  known = ['known beforehand'] if 0 in counts else []
  chosen = [f'chosen on {wording.several(filter(None, counts))} others'] if any(counts) else []
  return ' or '.join([*known, *chosen])


def _settings(cells: Sequence[CellResult]) -> list[tuple[str, str]]:
  """The fields that all cells share, with their values."""
  if not cells:
    return []
  varied = varying(cells)
  fields = cells[0].columns.items()
  shared = {n: v for n, v in fields if n not in varied and v is not None}
  return [(wording.heading(n), wording.value(n, v)) for n, v in shared.items()]
