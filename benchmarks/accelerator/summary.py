"""The short table at the end: a line for each row, and below those without a figure."""

from collections.abc import Iterator, Mapping, Sequence

from experiments.analysis.text import aligned

_HEADER = ('section', 'measurement', 'precision', 'chunk', 'ms', 'per second', 'unit')
_HEADER += ('TFLOP/s', 'of product', 'of copy', 'compiling', 'MiB', 'error', 'AUC', 'note')


def format_rows(rows: Sequence[Mapping[str, str]]) -> str:
  """The rows as aligned text, those that failed below."""
  good = [row for row in rows if not row['failure']]
  bad = [row for row in rows if row['failure']]
  table = aligned([_HEADER, *map(_line, good)])
  return '\n'.join([table, '', *_failures(bad)])


def _line(row: Mapping[str, str]) -> tuple[str, ...]:
  """A line of the table."""
  return (
    *(row[name] or '-' for name in ('section', 'name', 'precision', 'chunk')),
    _number(row['seconds'], 1e3),
    *(_number(row['per_second']), row['unit'] or '-'),
    *(_number(row[name]) for name in ('tflops_per_second', 'of_product', 'of_copy')),
    *(_number(row['compile_seconds']), _number(row['program_bytes'], 2**-20)),
    *(_number(row['error']), _auc(row), row['note']),
  )


def _auc(row: Mapping[str, str]) -> str:
  """The AUC with its interval."""
  if not row['auc']:
    return '-'
  return '{} [{}, {}]'.format(*(_number(row[name]) for name in ('auc', 'auc_low', 'auc_high')))


def _number(text: str, factor: float = 1.0) -> str:
  """A number to three digits, or a dash for a missing one.

  >>> _number('0.0123456', 1e3), _number('')
  ('12.3', '-')
  """
  return f'{float(text) * factor:.3g}' if text else '-'


def _failures(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
  """Lines on what has no figure."""
  yield f'{len(rows)} without a figure'
  for row in rows:
    yield f'  {row["section"]}/{row["name"]}: {row["failure"]}'
