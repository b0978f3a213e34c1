"""Results of the rounds: a line for each contestant of a row, as a table and a figure."""

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
  """One contestant in one row; seconds and bytes are per unit of work.

  Attributes:
    row: name of the row, a key of `rows.ROWS`.
    contestant: name of the contestant.
    data_size: number of images in the attacked set.
    iterations: number of steps of an attack; 0 for training.
    units: number of candidates, or of rounds of training, in a run.
    rounds: number of runs.
    wall_seconds: median wall-clock time.
    cpu_seconds: median CPU time.
    wall_ratio: median over rounds of the time relative to mamljax's in the same round; its 95 %
      interval is `wall_ratio_low` to `wall_ratio_high` (None with fewer than six rounds).
    wall_ratio_low: lower end of that interval.
    wall_ratio_high: upper end of that interval.
    cpu_ratio: the same ratio of CPU times, with its interval.
    cpu_ratio_low: lower end of that interval.
    cpu_ratio_high: upper end of that interval.
    aim: the wall ratio of this contestant to be reached.
    limit: the wall ratio if mamljax did its arithmetic at the peak of the machine, and nothing
      else; a higher ratio needs less arithmetic.
    peak_fraction: arithmetic per CPU second, relative to a matrix product of 1,024 x 1,024 x
      1,024 on as many cores in the same round, with its interval.
    peak_fraction_low: lower end of that interval.
    peak_fraction_high: upper end of that interval.
    flops: floating-point operations in matrix products and convolutions.
    gradient_error: relative error of a gradient in the chosen precision, for an attack.
    compile_seconds: time of the compilation of the timed program.
    seconds_to_ready: time of all preparations, compilation among them.
    peak_bytes: growth of the process's memory in its first run, per unit in flight.
    compiled_bytes: memory that the program needs, by XLA, per unit in flight.
    cores_used: largest ratio of CPU time to wall-clock time.
    version: version of JAX or PyTorch.
    paper_seconds: the time that the paper prints for one candidate.
    paper_over_wall: that time relative to `wall_seconds`.
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
  """The lines of a row, without the matrix product.

  Args:
    name: name of the row.
    row: the work.
    cell: the cell of the work.
    outcomes: the outcome of each contestant, mamljax and the matrix product among them.
  """
  contestants = (who for who in outcomes if who != rows.PRODUCT)
  return [_line(name, row, cell, outcomes, who) for who in contestants]


def _line(
  name: str, row: rows.Row, cell: Cell, outcomes: Mapping[str, Outcome], who: str
) -> Line:
  """The line of one contestant."""
  outcome, facts = outcomes[who], outcomes[who].facts
  clocks = ('wall', 'cpu')
  seconds = {c: contest.median_of(contest.per_unit(outcome, c)).median for c in clocks}
  paired = {c: contest.ratio(outcomes, who, rows.OURS, clock=c) for c in clocks}
  is_attack = row.kind == 'attack'
  data_size = cell.task.ways * cell.task.shots
  printed = paper.printed_seconds(cell.game.target, data_size, cell.attack.iterations)
  printed = printed if is_attack and cell.model.network_name != 'mlp' else None
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
    paper_seconds=printed,
    paper_over_wall=printed and printed / seconds['wall'],
  )


def _peak_fraction(
  row: rows.Row, outcomes: Mapping[str, Outcome], who: str
) -> contest.Interval | None:
  """The fraction of the peak; None if arithmetic was not counted, or cores differ."""
  as_many_cores = row.cores == 1 or who == rows.OURS
  if 'flops' not in outcomes[who].facts or not as_many_cores:
    return None
  return contest.peak_fraction(outcomes, who, rows.PRODUCT)


def _limit(row: rows.Row, outcomes: Mapping[str, Outcome], who: str) -> float | None:
  """The median ratio if mamljax ran at the peak of the machine; None for itself."""
  if who not in rows.PEERS:
    return None
  busy = contest.peak_fraction(outcomes, rows.OURS, rows.PRODUCT).median
  return contest.ratio(outcomes, who, rows.OURS, clock='wall').median / busy


def _ends(name: str, interval: contest.Interval | None) -> dict[str, Any]:
  """The three columns of a median with its interval."""
  columns = (name, f'{name}_low', f'{name}_high')
  return dict(zip(columns, interval or (None, None, None), strict=True))


def _share(facts: dict[str, Any], name: str) -> float | None:
  """A fact per unit in flight."""
  amount = facts.get(name)
  return None if amount is None else amount / facts['in_flight']


def format_lines(lines: Sequence[Line]) -> str:
  """The lines as aligned text, for people."""
  header = ('row', 'contestant', 'ms', 'over mamljax [95 %]', 'CPU', 'aim', 'limit', 'of peak')
  header += ('Mflop', 'MiB', 'error', 'compiling', 'cores', 'paper s', 'paper / this')
  return aligned([header, *map(_format, lines)])


def _format(line: Line) -> tuple[str, ...]:
  """A line of that text."""
  return (
    line.row,
    line.contestant,
    f'{1e3 * line.wall_seconds:.3g}',
    f'{line.wall_ratio:.2f} [{_text(line.wall_ratio_low)}, {_text(line.wall_ratio_high)}]',
    f'{line.cpu_ratio:.2f}',
    _text(line.aim),
    _text(line.limit),
    _text(line.peak_fraction),
    _text(line.flops and line.flops / 1e6),
    _text(line.peak_bytes and line.peak_bytes / 2**20),
    _text(line.gradient_error),
    _text(line.compile_seconds),
    _text(line.cores_used),
    _text(line.paper_seconds),
    _text(line.paper_over_wall),
  )


def _text(number: float | None) -> str:
  """A number to three digits, or a dash for a missing one."""
  return '-' if number is None else f'{number:.3g}'


def draw_lines(lines: Sequence[Line]) -> Figure:
  """Bars of the times relative to mamljax, with the aims as ticks."""
  names = list(dict.fromkeys(line.row for line in lines))
  others = sorted({line.contestant for line in lines} - {rows.OURS})
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(6, 1.2 + 0.4 * len(names)), layout='constrained')
    axes = figure.subplots()
    for who, colour in zip(others, COLOURS, strict=False):
      axes.barh(0, 0, color=colour, label=who)
    for line in (line for line in lines if line.contestant != rows.OURS):
      index = others.index(line.contestant)
      position = names.index(line.row) + 0.8 * (index + 0.5) / len(others) - 0.4
      _draw_bar(axes, line, position, 0.75 / len(others), COLOURS[index])
    axes.plot([], [], '|', color='black', markersize=9, label='aim')
    axes.axvline(1, color='grey', linewidth=1)
    axes.set(yticks=range(len(names)), yticklabels=names, xscale='log')
    axes.invert_yaxis()
    axes.set_xlabel('times as long as mamljax, for the same work, in the same round')
    figure.legend(loc='outside lower center', ncols=4, frameon=False)
  return figure


def _draw_bar(axes: Axes, line: Line, position: float, height: float, colour: str) -> None:
  """Draws a ratio with its interval and its aim."""
  axes.barh(position, line.wall_ratio, height, color=colour)
  ends = (line.wall_ratio_low or line.wall_ratio, line.wall_ratio_high or line.wall_ratio)
  axes.plot(ends, (position, position), color='black', linewidth=1)
  if line.aim:
    axes.plot(line.aim, position, '|', color='black', markersize=9)
