"""What the rounds add up to: a line for each contestant of a row, a table, a figure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis import paper
from experiments.analysis.figures import COLOURS, STYLE
from experiments.analysis.text import aligned
from experiments.benchmarking import contest, rows
from experiments.benchmarking.contest import Outcome
from experiments.config.cell import Cell


class Line(NamedTuple):
  """One contestant in one row; seconds and bytes are for a unit of work.

  Attributes:
    row: a key of `rows.ROWS`.
    contestant: who.
    data_size, iterations: of an attack.
    units, rounds: candidates, or rounds of training, in a run; runs.
    wall_seconds, cpu_seconds: the medians.
    wall_ratio, wall_ratio_low, wall_ratio_high: how many times as long as mamljax in the
      same round, the median with its 95 % interval (None with fewer than six rounds).
    cpu_ratio, cpu_ratio_low, cpu_ratio_high: the same of CPU time.
    aim: what the wall ratio of this contestant is to be at least.
    limit: what the wall ratio would be if all that mamljax does were matrix products, and
      those as fast as the machine's peak: with this arithmetic, there is no more.
    peak_fraction, peak_fraction_low, peak_fraction_high: of the arithmetic that a matrix
      product of 1,024 x 1,024 x 1,024 on as many cores does in a CPU second of that round.
    flops: in matrix products and convolutions.
    gradient_error: of an attack, what the chosen precision costs a gradient, of its norm.
    compile_seconds: of what is timed; `seconds_to_ready` is all that precedes it.
    peak_bytes: growth of the process's memory in its first run, for each unit in flight.
    compiled_bytes: what XLA says its program needs, for each unit in flight.
    cores_used: CPU seconds for each second on the clock, at most.
    version: of JAX or PyTorch.
    paper_seconds: what the paper prints for one candidate.
    paper_over_wall: how many times as long.
  """

  row: str
  contestant: str
  data_size: int
  iterations: int
  units: int
  rounds: int
  wall_seconds: float
  cpu_seconds: float
  wall_ratio: float
  wall_ratio_low: float | None
  wall_ratio_high: float | None
  cpu_ratio: float
  cpu_ratio_low: float | None
  cpu_ratio_high: float | None
  aim: float | None
  limit: float | None
  peak_fraction: float | None
  peak_fraction_low: float | None
  peak_fraction_high: float | None
  flops: float | None
  gradient_error: float | None
  compile_seconds: float | None
  seconds_to_ready: float
  peak_bytes: float | None
  compiled_bytes: float | None
  cores_used: float
  version: str
  paper_seconds: float | None
  paper_over_wall: float | None


def lines_of(
  name: str, row: rows.Row, cell: Cell, outcomes: Mapping[str, Outcome]
) -> list[Line]:
  """The lines of a row, the matrix product's left out.

  Args:
    name: of the row.
    row: what was done.
    cell: what it was done on.
    outcomes: by contestant; mamljax and the matrix product must be among them.
  """
  contestants = (who for who in outcomes if who != rows.PRODUCT)
  return [_line(name, row, cell, outcomes, who) for who in contestants]


def _line(
  name: str, row: rows.Row, cell: Cell, outcomes: Mapping[str, Outcome], who: str
) -> Line:
  """One of them."""
  outcome, facts = outcomes[who], outcomes[who].facts
  clocks = ('wall', 'cpu')
  seconds = {c: contest.median_of(contest.per_unit(outcome, c)).median for c in clocks}
  paired = {c: contest.ratio(outcomes, who, rows.OURS, clock=c) for c in clocks}
  is_attack = row.kind == 'attack'
  data_size = cell.task.ways * cell.task.shots
  theirs = paper.printed_seconds(cell.game.target, data_size, cell.attack.iterations)
  theirs = theirs if is_attack and cell.model.network_name != 'mlp' else None
  return Line(
    row=name,
    contestant=who,
    data_size=data_size,
    iterations=cell.attack.iterations if is_attack else 0,
    units=facts['units'],
    rounds=len(outcome.samples),
    **{f'{clock}_seconds': seconds[clock] for clock in clocks},
    **_ends('wall_ratio', paired['wall']),
    **_ends('cpu_ratio', paired['cpu']),
    aim=row.aim if who in (rows.PEERS[0], rows.ONE_CORE) else None,
    limit=_limit(row, outcomes, who),
    **_ends('peak_fraction', _peak_fraction(row, outcomes, who)),
    flops=facts['flops'] / facts['units'] if 'flops' in facts else None,
    gradient_error=facts.get('gradient_error'),
    compile_seconds=facts.get('compile_seconds'),
    seconds_to_ready=facts['seconds_to_ready'],
    peak_bytes=_share(facts, 'peak_bytes'),
    compiled_bytes=_share(facts, 'compiled_bytes'),
    cores_used=contest.cores_used(outcome),
    version=facts['version'],
    paper_seconds=theirs,
    paper_over_wall=theirs and theirs / seconds['wall'],
  )


def _peak_fraction(
  row: rows.Row, outcomes: Mapping[str, Outcome], who: str
) -> contest.Interval | None:
  """Where the arithmetic is counted and a product was measured on as many cores."""
  as_many_cores = row.cores == 1 or who == rows.OURS
  if 'flops' not in outcomes[who].facts or not as_many_cores:
    return None
  return contest.peak_fraction(outcomes, who, rows.PRODUCT)


def _limit(row: rows.Row, outcomes: Mapping[str, Outcome], who: str) -> float | None:
  """For a peer, the median ratio at the peak of the machine."""
  if who not in rows.PEERS:
    return None
  busy = contest.peak_fraction(outcomes, rows.OURS, rows.PRODUCT).median
  return contest.ratio(outcomes, who, rows.OURS, clock='wall').median / busy


def _ends(name: str, found: contest.Interval | None) -> dict[str, Any]:
  """The three columns of an interval."""
  columns = (name, f'{name}_low', f'{name}_high')
  return dict(zip(columns, found or (None, None, None), strict=True))


def _share(facts: dict[str, Any], name: str) -> float | None:
  """For each unit in flight."""
  amount = facts.get(name)
  return None if amount is None else amount / facts['in_flight']


def format_lines(lines: Sequence[Line]) -> str:
  """A table for a person."""
  header = ('row', 'contestant', 'ms', 'over mamljax [95 %]', 'CPU', 'aim', 'limit', 'of peak')
  header += ('Mflop', 'MiB', 'error', 'compiling', 'cores', 'paper s', 'paper / this')
  return aligned([header, *map(_format, lines)])


def _format(line: Line) -> tuple[str, ...]:
  """A line of the table."""
  return (
    line.row,
    line.contestant,
    f'{1e3 * line.wall_seconds:.3g}',
    f'{line.wall_ratio:.2f} [{_short(line.wall_ratio_low)}, {_short(line.wall_ratio_high)}]',
    f'{line.cpu_ratio:.2f}',
    _short(line.aim),
    _short(line.limit),
    _short(line.peak_fraction),
    _short(line.flops and line.flops / 1e6),
    _short(line.peak_bytes and line.peak_bytes / 2**20),
    _short(line.gradient_error),
    _short(line.compile_seconds),
    _short(line.cores_used),
    _short(line.paper_seconds),
    _short(line.paper_over_wall),
  )


def _short(number: float | None) -> str:
  """Three digits, or a dash for nothing."""
  return '-' if number is None else f'{number:.3g}'


def draw_lines(lines: Sequence[Line]) -> Figure:
  """How many times as long as mamljax the others take, a bar for each; the aims as ticks."""
  names = list(dict.fromkeys(line.row for line in lines))
  others = sorted({line.contestant for line in lines} - {rows.OURS})
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(6, 1.2 + 0.4 * len(names)), layout='constrained')
    axes = figure.subplots()
    for who, colour in zip(others, COLOURS, strict=False):
      axes.barh(0, 0, color=colour, label=who)
    for line in (line for line in lines if line.contestant != rows.OURS):
      index = others.index(line.contestant)
      at = names.index(line.row) + 0.8 * (index + 0.5) / len(others) - 0.4
      _draw_bar(axes, line, at, 0.75 / len(others), COLOURS[index])
    axes.plot([], [], '|', color='black', markersize=9, label='aim')
    axes.axvline(1, color='grey', linewidth=1)
    axes.set(yticks=range(len(names)), yticklabels=names, xscale='log')
    axes.invert_yaxis()
    axes.set_xlabel('times as long as mamljax, for the same work, in the same round')
    figure.legend(loc='outside lower center', ncols=4, frameon=False)
  return figure


def _draw_bar(axes: Axes, line: Line, at: float, height: float, colour: str) -> None:
  """A ratio with its interval and its aim."""
  axes.barh(at, line.wall_ratio, height, color=colour)
  ends = (line.wall_ratio_low or line.wall_ratio, line.wall_ratio_high or line.wall_ratio)
  axes.plot(ends, (at, at), color='black', linewidth=1)
  if line.aim:
    axes.plot(line.aim, at, '|', color='black', markersize=9)
