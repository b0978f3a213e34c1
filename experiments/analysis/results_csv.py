"""OUT/results.csv: a line for each cell, with its configuration, its rates and the paper's."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.analysis import ceiling, paper
from experiments.analysis.text import csv_text
from experiments.config.cell import Cell
from experiments.config.columns import FIELDS, columns_of, is_option, varying
from experiments.config.sections import UNDEFENDED
from experiments.store.cells import Summary, cell_hash
from mamljax import atomic
from mamljax.errors import InputError

NAME = 'results.csv'

# The first columns of results.csv, in order; the rest of the configuration follows.
# fmt: off
COLUMNS: tuple[str, ...] = (
  'dataset', 'network', 'ways', 'shots', 'target', 'attack', 'order', 'inner_steps',
  'inner_learning_rate', 'epoch', 'defence', 'noise_scale', 'iterations', 'trials',
  'accuracy', 'accuracy_low', 'accuracy_high', 'recall', 'precision',
  'auc', 'auc_low', 'auc_high', 'tpr_at_fpr_1pct', 'tpr_at_fpr_0.1pct', 'threshold',
  'seconds_per_trial', 'compile_seconds',
  'paper_accuracy', 'paper_recall', 'paper_precision',
  'recall_low', 'recall_high', 'precision_low', 'precision_high',
  'learning_accuracy', 'learning_low', 'learning_high', 'label_accuracy',
  'ceiling_auc', 'ceiling_share',
  'calibration_trials', 'seed', 'git_revision', 'hash', 'chunk_run', 'matmul_precision',
)
# fmt: on


def row(result: Summary, *, bound: Summary | None = None) -> dict[str, Any]:
  """The line of results.csv for a cell, `COLUMNS` first; None where there is no value.

  The paper's numbers are given for reconstruction from an undefended second-order gradient
  only, since it prints no others.

  Args:
    result: the finished cell.
    bound: the cell with the upper bound on attacks on the same game, if there is one.
  """
  cell, metrics = result.columns, result.metrics
  size = cell['target'], cell['dataset'], cell['ways'], cell['shots']
  printed = paper.printed(*size) if _as_in_paper(cell) else None
  values = cell | result.timings | {'hash': result.hash, 'seed': result.seed}
  learning = result.extra.get('learning', {})
  values |= {
    'iterations': cell.get('reconstruction.iterations'),
    'git_revision': result.git_revision,
    'chunk_run': result.extra.get('chunk_run', cell['chunk']),
    'label_accuracy': result.extra.get('label_accuracy'),
    'learning_accuracy': learning.get('accuracy'),
    'learning_low': learning.get('low'),
    'learning_high': learning.get('high'),
  }
  for name in ('accuracy', 'recall', 'precision', 'auc'):
    value, low, high = getattr(metrics, name) or (None, None, None)
    values |= {name: value, f'{name}_low': low, f'{name}_high': high}
    values |= {f'paper_{name}': getattr(printed, name, None)}
  values |= {
    'tpr_at_fpr_1pct': metrics.tpr_at_fpr_1pct,
    'tpr_at_fpr_0.1pct': metrics.tpr_at_fpr_01pct,
    'threshold': metrics.threshold,
    'ceiling_auc': bound.metrics.auc.value if bound and bound.metrics.auc else None,
    'ceiling_share': ceiling.share(result, bound) if bound else None,
  }
  rest = [name for name in cell if name not in COLUMNS]
  return {column: values[column] for column in (*COLUMNS, *rest)}


def header(cells: Sequence[Mapping[str, Any]]) -> list[str]:
  """The columns of results.csv for some cells, which are mappings from column to value.

  `COLUMNS` come first, then the other fields of cells, then those options of attacks and
  networks that vary among the cells. The iterations have a column in `COLUMNS` already.
  """
  fields = [name for name in FIELDS if name not in COLUMNS]
  options = [name for name in varying(cells) if is_option(name)]
  return [*COLUMNS, *fields, *(name for name in options if name != 'reconstruction.iterations')]


def write_csv(
  output_dir: str | os.PathLike[str],
  results: Iterable[Summary],
  *,
  cells: Sequence[Cell] = (),
) -> Path:
  """Writes OUT/results.csv, a line for each result in the order given, and returns its path.

  A field is empty where there is no value.

  Args:
    output_dir: the folder OUT.
    results: finished cells.
    cells: all cells of the sweep, by which the varying options are chosen; by default, those
      of the results.

  Raises:
    InputError: if the folder cannot be written.
  """
  results = [*results]
  configurations = [*map(columns_of, cells)] or [result.columns for result in results]
  return _write(output_dir, _lines(results, header(configurations)))


def update_csv(
  output_dir: str | os.PathLike[str], results: Iterable[Summary], cells: Sequence[Cell]
) -> Path | None:
  """Writes the lines of some cells of a sweep into OUT/results.csv, beside those of the others.

  A table with other columns was written by another version. It is left as it is, to be replaced
  as a whole.

  Args:
    output_dir: the folder OUT.
    results: finished cells of the sweep.
    cells: all cells of the sweep, in its order.

  Returns:
    The path of the table; None if nothing was written because the columns differ.

  Raises:
    InputError: if the folder cannot be written, or its results.csv is not such a table.
  """
  names = [*map(cell_hash, cells)]
  columns = header([*map(columns_of, cells)])
  new = {line['hash']: line for line in _lines(results, columns)}
  old = read_csv(output_dir)
  lines = [new.get(name) or old[name] for name in names if name in new or name in old]
  if len({tuple(line) for line in lines}) > 1:
    return None
  return _write(output_dir, lines)


def read_csv(output_dir: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
  """Reads OUT/results.csv: its lines by the hash of their cell; none if there is no such file.

  Raises:
    InputError: if the file cannot be read or is not a table of `write_csv`.
  """
  path = Path(output_dir) / NAME
  try:
    text = path.read_text(encoding='utf-8')
    header, *lines = csv.reader(io.StringIO(text), strict=True)
    hash_column = header.index('hash')
    return {line[hash_column]: dict(zip(header, line, strict=True)) for line in lines}
  except FileNotFoundError:
    return {}
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, IndexError, csv.Error) as error:
    raise InputError(f'{path} is not a table written by mamljax: {error}') from error


def _lines(results: Iterable[Summary], columns: Sequence[str]) -> list[dict[str, Any]]:
  """The lines of some results; the upper bounds among them are the ceilings of the others."""
  results = list(results)
  bounds = ceiling.ceilings(results)
  rows = (row(result, bound=bounds.get(result.hash)) for result in results)
  return [{column: line.get(column) for column in columns} for line in rows]


def _write(output_dir: str | os.PathLike[str], lines: Sequence[Mapping[str, Any]]) -> Path:
  """Writes OUT/results.csv, with no lines but the header if there are none."""
  path = Path(output_dir) / NAME
  atomic.write_text(path, csv_text(lines[0] if lines else COLUMNS, lines))
  return path


def _as_in_paper(cell: Mapping[str, Any]) -> bool:
  """Tests whether a cell has the setting of Tables I and II."""
  attack = {'attack': 'reconstruction', 'order': 2, 'defence': UNDEFENDED, 'learners': 1}
  judge = {'reconstruction.labels': 'known', 'reconstruction.judge': 'ssim'}
  game = {'pool': 'victims', 'participations': 1}  # other pools are for tuning
  setting = attack | judge | game | {'protocol': 'maml'}
  return cell['assumed_order'] != 1 and all(cell.get(k) == v for k, v in setting.items())
