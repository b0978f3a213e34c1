"""Words and tables of a report, as text."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mamljax.audit.metrics import Rate
from mamljax.errors import unknown
from mamljax.reports.measures import AttackRow, Finding

WIDTH = 96
HEADINGS = (
  'attack', 'accuracy', '95 %', 'AUC', 'TPR at 1 % FPR', 'at 0.1 %', 'epsilon', 'seconds',
)  # fmt: skip
UNRESOLVED = '-'


def percent(rate: Rate) -> str:
  """A rate in per cent, with its interval.

  >>> percent(Rate(0.975, 0.9412, 1.0))
  '97.5 % [94.1, 100.0]'
  """
  return f'{100 * rate.value:.1f} % {interval(rate)}'


def interval(rate: Rate) -> str:
  """The interval of a rate, in per cent."""
  return f'[{100 * rate.low:.1f}, {100 * rate.high:.1f}]'


def plain(rate: Rate | None) -> str:
  """A rate and its interval as fractions; a dash where the trials do not resolve it."""
  if rate is None:
    return UNRESOLVED
  return f'{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]'


def at_most(bound: float) -> str:
  """An upper bound to three digits, rounded up.

  >>> at_most(1.9931), at_most(1234.5), at_most(0.0)
  ('2', '1240', '0')
  """
  if not bound > 0:
    return '0'
  unit = 10.0 ** (math.floor(math.log10(bound)) - 2)
  return f'{math.ceil(bound / unit * (1 - 1e-12)) * unit:.15g}'


def headings(*, counted: bool) -> tuple[str, ...]:
  """The headings of a table of attacks; with the trials of each where these may differ."""
  return *HEADINGS[:-1], *['trials'] * counted, HEADINGS[-1]


def cells(row: AttackRow, *, counted: bool) -> tuple[str, ...]:
  """The entries of an attack under `headings`."""
  return (
    row.attack,
    f'{100 * row.accuracy.value:.1f} %',
    interval(row.accuracy),
    plain(row.auc),
    plain(row.tpr_at_fpr_1pct),
    plain(row.tpr_at_fpr_01pct),
    f'{row.epsilon:.2f}',
    *[str(row.trials)] * counted,
    f'{row.seconds:.1f}',
  )


def flat(row: AttackRow, *, counted: bool) -> dict[str, Any]:
  """The measures of an attack in columns: a rate becomes `x`, `x_low` and `x_high`.

  Args:
    row: the measures.
    counted: whether the number of its trials is a column, as in `headings`.
  """
  rates = ('accuracy', 'auc', 'tpr_at_fpr_1pct', 'tpr_at_fpr_01pct')
  others = ('epsilon', 'threshold', 'threshold_is_known', 'seconds', *['trials'] * counted)
  columns: dict[str, Any] = {'attack': row.attack}
  columns |= spread({name: getattr(row, name) for name in rates})
  return columns | {name: getattr(row, name) for name in others}


def spread(rates: Mapping[str, Rate | None]) -> dict[str, float | None]:
  """The columns of rates, `x`, `x_low` and `x_high`; None of those that are not measured."""
  columns: dict[str, float | None] = {}
  for name, rate in rates.items():
    value, low, high = rate or (None, None, None)
    columns |= {name: value, f'{name}_low': low, f'{name}_high': high}
  return columns


def chosen(rows: Sequence[AttackRow], name: str) -> AttackRow:
  """The row of an attack.

  Raises:
    InputError: if there is none, with the nearest names.
  """
  for row in rows:
    if row.attack == name:
      return row
  raise unknown('attack', name, [row.attack for row in rows])


def verdict(
  finding: Finding, worst: AttackRow, rows: Sequence[AttackRow], *, unasked: Sequence[str]
) -> str:
  """The answer of an audit in a sentence or two.

  Args:
    finding: the answer.
    worst: the strongest attack.
    rows: all attacks.
    unasked: names of attacks that may apply, and were not asked for.
  """
  among = f'the strongest of {len(rows)} attacks' if len(rows) > 1 else 'the only attack'
  decides = f'decides {percent(worst.accuracy)} of the trials rightly'
  if finding.level == 'leak':
    return f'It leaks: {worst.attack}, {among}, {decides}, where guessing decides 50 %.'
  if finding.level == 'trace':
    row = chosen(rows, finding.attack)
    return (
      f'It leaks something: the scores of {row.attack} rank members apart from others (AUC '
      f'{plain(row.auc)}), although no decision beats guessing: {worst.attack}, {among}, '
      f'{decides}.'
    )
  return (
    f'Not shown to be safe: only that these attacks find nothing. {worst.attack}, {among}, '
    f'{decides}, which is within chance. An attack that was not played may do better'
    + f': {", ".join(unasked)}, for instance' * bool(unasked)
    + '.'
  )


def ended_early(worst: AttackRow, asked: Mapping[str, Any]) -> Iterator[str]:
  """The number of trials after which the strongest attack ended before the last, in a sentence.

  Args:
    worst: the strongest attack.
    asked: the sizes of the audit, `trials` and `interval` among them.
  """
  if worst.trials < asked['trials']:
    yield (
      f'Of up to {asked["trials"]} trials {worst.attack} needed {worst.trials} for an interval '
      f'of its own of at most {100 * asked["interval"]:g} % to either side.'
    )


def left_out(late: Sequence[str]) -> Iterator[str]:
  """The attacks that were left out for time, in a sentence."""
  if late:
    yield f'Left out for time, and may find more: {", ".join(late)}.'


def numbered(names: Sequence[Any], what: str) -> Iterator[str]:
  """The numbers of classes whose labels are others, in a sentence.

  >>> list(numbered(('cat', 'dog'), 'classes')), list(numbered((0, 1), 'classes'))
  (["The labels 'cat', 'dog' are the classes 0 to 1, in this order."], [])
  """
  if list(names) != list(range(len(names))) or any(isinstance(name, bool) for name in names):
    shown = ', '.join(map(repr, names[:5])) + ', ...' * (len(names) > 5)
    yield f'The labels {shown} are the {what} 0 to {len(names) - 1}, in this order.'


def remarks(name: str, notes: Sequence[str]) -> Iterator[str]:
  """The remarks on what was changed in some data, in a sentence."""
  if notes:
    yield f'Of the {name}: {"; ".join(notes)}.'


def duration(seconds: float) -> str:
  """A length of time, to two or three digits.

  >>> duration(0.0123), duration(95), duration(7000), duration(1e6)
  ('0.012 s', '95 s', '117 min', '278 h')
  """
  units = (('s', 1), ('min', 60))
  unit, length = next((x for x in units if seconds < 120 * x[1]), ('h', 3600))
  amount = seconds / length
  return f'{amount:.2g} {unit}' if amount < 10 else f'{amount:.0f} {unit}'


def aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A table of text: the first column to the left, others to the right."""
  lines = [tuple(headings), *map(tuple, rows)]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

  def line(entries: Sequence[str]) -> str:
    first, *others = zip(entries, widths, strict=True)
    parts = [first[0].ljust(first[1]), *(entry.rjust(width) for entry, width in others)]
    return '  '.join(parts).rstrip()

  return '\n'.join([line(lines[0]), '-' * len(line(lines[0])), *map(line, lines[1:])])


def bulleted(title: str, lines: Iterable[str]) -> str:
  """A list of sentences under a title, wrapped; '' without sentences."""
  wrapped = [
    textwrap.fill(text, WIDTH, initial_indent='- ', subsequent_indent='  ') for text in lines
  ]
  return '\n'.join([f'{title}:', *wrapped]) if wrapped else ''


def paragraphs(verdict: str, tables: Sequence[str], lists: Mapping[str, Iterable[str]]) -> str:
  """A report as text, for a terminal: its answer, its tables, and lists under their titles."""
  listed = [bulleted(title, lines) for title, lines in lists.items()]
  return '\n\n'.join(filter(None, [textwrap.fill(verdict, WIDTH), *tables, *listed]))
