"""A cell as a line of OUT/results.csv: what was asked, found, and printed in the paper."""

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
  """The line of results.csv for a cell, `COLUMNS` first; None where no value is.

  The ceiling is that of `bound`, the cell of what no attack on the same game can pass. The
  paper's numbers stand beside an undefended reconstruction of a second-order gradient only:
  it prints no others.
  """
  cell, metrics = result.columns, result.metrics
  size = cell['target'], cell['dataset'], cell['ways'], cell['shots']
  theirs = paper.printed(*size) if _as_in_paper(cell) else None
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
    values |= {f'paper_{name}': getattr(theirs, name, None)}
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
  """The columns of a table of some cells, which are given by column.

  `COLUMNS` are first and the other fields follow; of the options of attacks and networks, those
  that vary among the cells, but for the iterations, which are a column of their own.
  """
  fields = [name for name in FIELDS if name not in COLUMNS]
  options = [name for name in varying(cells) if is_option(name)]
  return [*COLUMNS, *fields, *(name for name in options if name != 'reconstruction.iterations')]


def write_csv(
  output_dir: str | os.PathLike[str], results: Iterable[Summary], cells: Sequence[Cell] = ()
) -> Path:
  """Writes OUT/results.csv, a row per result in the order given, and returns its path.

  A field is empty where a value does not exist.

  Args:
    output_dir: OUT.
    results: of these cells.
    cells: all cells of the sweep, which say what varies; those of the results if none.

  Raises:
    InputError: if the folder cannot be written.
  """
  results = [*results]
  known = [*map(columns_of, cells)] or [result.columns for result in results]
  return _write(output_dir, _lines(results, header(known)))


def update_csv(
  output_dir: str | os.PathLike[str], results: Iterable[Summary], cells: Sequence[Cell]
) -> Path | None:
  """Writes the lines of some cells of a sweep beside those that others of it have already.

  None, and nothing written, if a table is there that these lines do not fit into: that of
  another version, which is replaced as a whole or not at all.

  Args:
    output_dir: OUT.
    results: of these cells.
    cells: all cells of the sweep, in its order.

  Raises:
    InputError: if the folder cannot be written, or its table is not one of ours.
  """
  names = [*map(cell_hash, cells)]
  ours = {line['hash']: line for line in _lines(results, header([*map(columns_of, cells)]))}
  others = read_csv(output_dir)
  lines = [ours.get(name) or others[name] for name in names if name in ours or name in others]
  if len({tuple(line) for line in lines}) > 1:
    return None
  return _write(output_dir, lines)


def read_csv(output_dir: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
  """The lines of OUT/results.csv by the hash of their cell, as they stand; none without it.

  Raises:
    InputError: if it cannot be read, or is no table of ours.
  """
  path = Path(output_dir) / NAME
  try:
    text = path.read_text(encoding='utf-8')
    header, *lines = csv.reader(io.StringIO(text), strict=True)
    at = header.index('hash')
    return {line[at]: dict(zip(header, line, strict=True)) for line in lines}
  except FileNotFoundError:
    return {}
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, IndexError, csv.Error) as error:
    raise InputError(f'{path} is no table of ours: {error}') from error


def _lines(results: Iterable[Summary], columns: Sequence[str]) -> list[dict[str, Any]]:
  """The lines of some results, which are a ceiling to each other."""
  found = list(results)
  bounds = ceiling.ceilings(found)
  rows = (row(result, bound=bounds.get(result.hash)) for result in found)
  return [{column: line.get(column) for column in columns} for line in rows]


def _write(output_dir: str | os.PathLike[str], lines: Sequence[Mapping[str, Any]]) -> Path:
  path = Path(output_dir) / NAME
  atomic.write_text(path, csv_text(lines[0] if lines else COLUMNS, lines))
  return path


def _as_in_paper(cell: Mapping[str, Any]) -> bool:
  """Whether the cell plays what Tables I and II report."""
  attacked = {'attack': 'reconstruction', 'order': 2, 'defence': UNDEFENDED, 'learners': 1}
  judged = {'reconstruction.labels': 'known', 'reconstruction.judge': 'ssim'}
  reported = {'pool': 'victims', 'participations': 1}  # others are for tuning
  wanted = attacked | judged | reported
  return cell['assumed_order'] != 1 and all(cell.get(k) == v for k, v in wanted.items())
