"""The answer of a report: the leak of each set, and its cost, by the strongest attacks."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.analysis.results_csv import row
from experiments.reporting import wording
from experiments.reporting.cell_tables import (
  Column,
  Line,
  Lines,
  Record,
  rate_columns,
  record,
  records_csv,
  tabulate,
)
from experiments.reporting.content import Entry, Headline
from experiments.store.cells import CellResult
from mamljax.audit.metrics import Rate, proportion

GUESSING = 0.5

_SIZE = ('ways', 'shots')


class Strongest(NamedTuple):
  """The most accurate attack on a set of a data set, and the number of cells compared."""

  run: str
  result: CellResult
  cells: int


def make_headline(cells: Iterable[tuple[str, CellResult]]) -> Headline | None:
  """Sentences and a table about the strongest attack on each set of each data set.

  Only cells with the game of the paper count: one MAML task-learner without a defence,
  non-members of the same class, and images on which nothing was tuned.

  Args:
    cells: finished cells, each with the name of its run.

  Returns:
    The headline; None if no cell has that game.
  """
  strongest = [_strongest(group) for group in _by_subject(cells)]
  if not strongest:
    return None
  lines: Lines = [
    (f'{wording.sentence(group[0].result.columns["target"])} set', [*map(_line, group)])
    for group in _by_target(strongest)
  ]
  columns = [
    *rate_columns('accuracy'),
    *rate_columns('auc'),
    Column('time per candidate', _seconds),
    Column('task', lambda line: Entry(wording.label(line, _SIZE)), numeric=False),
    Column('run', lambda line: Entry(line['run']), numeric=False),
  ]
  table = tabulate('The strongest attack on each set', ['data set'], lines, columns)
  return Headline(
    sentences=[
      *map(_leak, _by_target(strongest)),
      *_comparisons(strongest),
      _cost(strongest),
    ],
    table=table,
    csv=records_csv(map(_record, strongest)),
  )


def _by_subject(cells: Iterable[tuple[str, CellResult]]) -> list[list[tuple[str, CellResult]]]:
  """The cells with the game of the paper, grouped by target and data set, each cell once."""
  groups: dict[tuple[str, str], dict[str, tuple[str, CellResult]]] = {}
  for run, result in cells:
    cell = result.columns
    if _has_game_of_paper(result):
      group = groups.setdefault((cell['target'], cell['dataset']), {})
      group.setdefault(row(result)['hash'], (run, result))
  return [[*groups[subject].values()] for subject in sorted(groups, key=lambda key: key[0])]


def _has_game_of_paper(result: CellResult) -> bool:
  """Tests whether a cell has the game of the paper, and an accuracy."""
  cell = result.columns
  return (
    result.metrics.accuracy is not None
    and cell['defence'] == 'none'
    and cell['order'] == 2
    and cell.get('protocol', 'maml') == 'maml'
    and cell.get('pool', 'victims') == 'victims'
    and cell.get('non_members', 'same_class') == 'same_class'
    and cell.get('learners', 1) == 1
  )


def _strongest(group: Sequence[tuple[str, CellResult]]) -> Strongest:
  """The most accurate cell; among equals, the one with the greatest AUC."""
  return Strongest(*max(group, key=_strength), len(group))


def _strength(attack: tuple[str, CellResult]) -> tuple[tuple[float, ...], ...]:
  """Sort key of an attack, by accuracy and then by AUC."""
  metrics = attack[1].metrics
  return metrics.accuracy or (), metrics.auc or ()


def _by_target(strongest: Sequence[Strongest]) -> list[list[Strongest]]:
  """The attacks grouped by the attacked set."""
  groups = itertools.groupby(strongest, lambda best: best.result.columns['target'])
  return [list(group) for _, group in groups]


def _leak(group: Sequence[Strongest]) -> str:
  """The sentences about a set, by its strongest attack on each data set."""
  target = group[0].result.columns['target']
  attempts = sum(best.cells for best in group)
  leaks = any(_beats_guessing(best.result, attempts) for best in group)
  verb = 'leaks' if leaks else 'shows no leak that these trials can tell'
  return ' '.join([f'The {target} set {verb}.', *map(_describe, group)])


def _beats_guessing(result: CellResult, attempts: int) -> bool:
  """Tests whether the best of several attempts beats guessing, at 95 % (Bonferroni)."""
  trials, accuracy = len(result.trials.members), result.metrics.accuracy
  right = round(trials * accuracy.value) if accuracy else 0
  rate = proportion(right, trials, confidence=1 - 0.05 / attempts)
  return rate is not None and rate.low > GUESSING


def _describe(best: Strongest) -> str:
  """The sentence about the accuracy of an attack."""
  cell, line = best.result.columns, record(best.result)
  details = [f'AUC {wording.rate(line["auc"])}'] if line['auc'] is not None else []
  if line['paper_accuracy'] is not None:
    details.append(f'the paper prints {line["paper_accuracy"]:.2f}')
  interval = wording.interval(line['accuracy_low'], line['accuracy_high'])
  attack = f'strongest of {best.cells} attacks' if best.cells > 1 else 'attack'
  return (
    f'On {wording.label(cell, ("dataset", *_SIZE))}, the {attack} decides '
    f'{wording.rate(line["accuracy"])} {interval} of the trials rightly'
    + (f' ({", ".join(details)}).' if details else '.')
  )


def _comparisons(strongest: Sequence[Strongest]) -> list[str]:
  """The comparison of the two sets, for each data set where both were attacked."""
  rates: dict[str, dict[str, Rate]] = {}
  for best in strongest:
    cell, accuracy = best.result.columns, best.result.metrics.accuracy
    if accuracy is not None:
      rates.setdefault(cell['dataset'], {})[cell['target']] = accuracy
  sentences = [_compare(name, both) for name, both in rates.items() if len(both) == 2]
  return [' '.join(sentences)] if sentences else []


def _compare(dataset: str, rates: dict[str, Rate]) -> str:
  """The sentence about which of the two sets of a data set leaks more."""
  more, less = sorted(rates, key=lambda target: rates[target], reverse=True)
  place = f'On {wording.value("dataset", dataset)}'
  if rates[more].low <= rates[less].high:
    return f'{place} the intervals of the two sets overlap: neither stands out.'
  return f'{place} the {more} set leaks more than the {less} set: their intervals are apart.'


def _cost(strongest: Sequence[Strongest]) -> str:
  """The sentence about the computation that the strongest attacks need."""
  seconds = [best.result.timings['seconds_per_trial'] for best in strongest]
  ends = dict.fromkeys(wording.duration(end) for end in (min(seconds), max(seconds)))
  devices = wording.several(_device(best.result) for best in strongest)
  return f'A candidate costs {" to ".join(ends)} of computation on {devices}.'


def _line(best: Strongest) -> Line:
  return Line([wording.value('dataset', best.result.columns['dataset'])], _record(best))


def _record(best: Strongest) -> Record:
  """The record of the cell, with its run and the number of cells it was chosen from."""
  return {'run': best.run, 'cells': best.cells, **record(best.result)}


def _device(result: CellResult) -> str:
  """The number and the kind of the devices of a cell."""
  devices = int(result.timings.get('devices', 1))
  return (
    f'{devices} {wording.TIMES} {result.device_kind}' if devices > 1 else result.device_kind
  )


def _seconds(line: Record) -> Entry:
  return Entry(wording.duration(line['seconds_per_trial']))
