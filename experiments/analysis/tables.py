"""The table printed at the end of a sweep: plain text, two lines a cell, 100 columns wide."""

from collections.abc import Sequence
from typing import Any

from experiments.analysis.results_csv import row
from experiments.config.columns import varying
from experiments.store.cells import Summary

_RATES = ('accuracy', 'recall', 'precision', 'auc')
# Fields that every line shows, or that follow from those.
_SHOWN_OR_IMPLIED = (
  *('dataset', 'ways', 'shots', 'target', 'chunk', 'calibration_trials'),
  *('fingerprint', 'code'),
)


def format_table(results: Sequence[Summary]) -> str:
  """The results as aligned text, one cell after another in the order given.

  The first line of a cell holds accuracy, recall, precision and AUC, each with its 95 %
  interval; the second, the values that the paper prints for these. '-' stands for a missing
  value. A third line holds the other fields that vary among the cells.

  Args:
    results: the finished cells of a sweep.

  Returns:
    Lines without a final newline, at most 100 columns wide for tasks of fewer than 10 shots,
    unless a third line is longer.
  """
  columns = [result.columns for result in results]
  varied = [name for name in varying(columns) if name not in _SHOWN_OR_IMPLIED]
  header = ['rate [95 % interval]', 'accuracy', 'recall', 'precision', 'AUC']
  blocks = [_lines(result, varied) for result in results]
  rows = [header, *(line for block in blocks for line in block[:2])]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  text = [_align(header, widths), '-' * (sum(widths) + 2 * len(_RATES))]
  for block in blocks:
    text += [_align(line, widths) for line in block]
  return '\n'.join(text)


def _lines(result: Summary, names: list[str]) -> list[list[str]]:
  """The lines of a cell: its rates, the paper's, and the named fields that vary."""
  cell, values = result.columns, row(result)
  rates = [_shorten(cell['dataset']), *(_rate(values, name) for name in _RATES)]
  size = f'{cell["ways"]}-way {cell["shots"]}-shot {cell["target"]}'
  printed = [size, *(_paper(values, name) for name in _RATES)]
  varied = (f'{name}={cell[name]}' for name in names if cell.get(name) is not None)
  return [rates, printed, ['  ' + ' '.join(varied)]] if names else [rates, printed]


def _rate(values: dict[str, Any], name: str) -> str:
  """A rate with its interval."""
  if values[name] is None:
    return '-'
  return f'{values[name]:.3f} [{values[f"{name}_low"]:.2f}, {values[f"{name}_high"]:.2f}]'


def _paper(values: dict[str, Any], name: str) -> str:
  """The value that the paper prints for a rate."""
  value = values.get(f'paper_{name}')
  return '-' if value is None else f'paper {value:.2f}'


def _shorten(name: str, width: int = 20) -> str:
  """A name cut to a width; the end is kept, which tells paths apart."""
  return name if len(name) <= width else f'...{name[3 - width :]}'


def _align(line: list[str], widths: list[int]) -> str:
  """The cells of a line, each padded to its column."""
  padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
  return '  '.join(padded).rstrip()
