"""The table that ends a sweep: plain text, two lines a cell, within 100 columns."""

from collections.abc import Sequence
from typing import Any

from experiments.analysis.results_csv import row
from experiments.config.columns import varying
from experiments.store.cells import Summary

_RATES = ('accuracy', 'recall', 'precision', 'auc')
# Always shown, or follows from what is.
_ALWAYS = (
  *('dataset', 'ways', 'shots', 'target', 'chunk', 'calibration_trials'),
  *('fingerprint', 'code'),
)


def format_table(results: Sequence[Summary]) -> str:
  """The results as aligned text, a cell after another in the order given.

  A cell's first line holds accuracy, recall, precision and AUC, each with its 95 %
  interval; its second, what the paper prints for the same. '-' stands where there is no
  value. Whatever else varies among the cells follows on a third line.

  Args:
    results: of one sweep.

  Returns:
    Lines without a final newline, at most 100 columns wide for tasks under 10 shots, unless
    what varies takes more.
  """
  columns = [result.columns for result in results]
  apart = [name for name in varying(columns) if name not in _ALWAYS]
  header = ['rate [95 % interval]', 'accuracy', 'recall', 'precision', 'AUC']
  blocks = [_lines(result, apart) for result in results]
  rows = [header, *(line for block in blocks for line in block[:2])]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  text = [_align(header, widths), '-' * (sum(widths) + 2 * len(_RATES))]
  for block in blocks:
    text += [_align(line, widths) for line in block]
  return '\n'.join(text)


def _lines(result: Summary, names: list[str]) -> list[list[str]]:
  """A cell's lines: what was found, what the paper has, and what sets the cell apart."""
  cell, values = result.columns, row(result)
  found = [_shorten(cell['dataset']), *(_rate(values, name) for name in _RATES)]
  size = f'{cell["ways"]}-way {cell["shots"]}-shot {cell["target"]}'
  theirs = [size, *(_paper(values, name) for name in _RATES)]
  said = (f'{name}={cell[name]}' for name in names if cell.get(name) is not None)
  return [found, theirs, ['  ' + ' '.join(said)]] if names else [found, theirs]


def _rate(values: dict[str, Any], name: str) -> str:
  if values[name] is None:
    return '-'
  return f'{values[name]:.3f} [{values[f"{name}_low"]:.2f}, {values[f"{name}_high"]:.2f}]'


def _paper(values: dict[str, Any], name: str) -> str:
  value = values.get(f'paper_{name}')
  return '-' if value is None else f'paper {value:.2f}'


def _shorten(name: str, width: int = 20) -> str:
  """The end of a long name, such as a path, tells it apart."""
  return name if len(name) <= width else f'...{name[3 - width :]}'


def _align(line: list[str], widths: list[int]) -> str:
  """The cells of a line, each padded to its column."""
  padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=False))
  return '  '.join(padded).rstrip()
