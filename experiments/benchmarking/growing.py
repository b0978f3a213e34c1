"""Growth of time and memory along one axis of the work, with the other axes fixed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from experiments.analysis.figures import COLOURS, STYLE
from experiments.analysis.text import aligned
from experiments.benchmarking.contest import Entry, Outcome
from experiments.config.cell import Cell
from experiments.config.columns import configuration, make_cell

_DRAWN = {
  'CPU seconds': (('cpu_seconds', '', 1),),
  'MiB': (('peak_bytes', 'process', 2**20), ('compiled_bytes', 'program', 2**20)),
}
_TOLERANCE = 0.15  # of an exponent: within it, 0 is called flat and 1 linear


class Axis(NamedTuple):
  """A series of works of growing size.

  Attributes:
    label: name of the size in figures.
    points: the size of each work, with the fields of its cell that vary along the axis.
    fields: fields of the cell that are common to all points.
    kind: kind of work, a key of `workloads.KINDS`; 'play' computes blocks of chunks, as a sweep
      does.
    candidates: number of candidates in a run; 0: as many as the size.
    remat: whether inner loops are rematerialised, as in `workloads.Work`.
    least: smallest size that fits use; smaller ones are padded to it, so they show no growth.
  """

  label: str
  points: tuple[tuple[int, dict[str, Any]], ...]
  fields: dict[str, Any]
  kind: str = 'attack'
  candidates: int = 4
  remat: bool = False
  least: int = 1


_STEPS = tuple((steps, {'inner_steps': steps}) for steps in (1, 2, 4, 7, 10))
_SIZES = ((3, 1), (5, 2), (5, 6), (10, 10))  # the sample has images for up to 14 shots
AXES: dict[str, Axis] = {
  'candidates': Axis(
    'candidates, in chunks of 4',
    tuple((count, {}) for count in (1, 16, 160, 1600, 10_000)),
    {'chunk': 4, 'reconstruction.iterations': 2},
    kind='play',
    candidates=0,
    least=16,  # a block
  ),
  'data_size': Axis(
    'images in the set',
    tuple((ways * shots, {'ways': ways, 'shots': shots}) for ways, shots in _SIZES),
    {'chunk': 1},
  ),
  'ways': Axis('ways', tuple((ways, {'ways': ways}) for ways in (2, 4, 7, 10)), {'chunk': 1}),
  'inner_steps': Axis('inner steps, all kept', _STEPS, {'chunk': 1, 'target': 'support'}),
  'inner_steps_remat': Axis(
    'inner steps, computed again', _STEPS, {'chunk': 1, 'target': 'support'}, remat=True
  ),
  'image_size': Axis(
    'pixels of an image',
    tuple((side**2, {'image_size': side}) for side in (28, 42, 56, 84)),
    {'chunk': 1},
  ),
}


class Point(NamedTuple):
  """A point of an axis.

  Attributes:
    axis: name of the axis, a key of `AXES`.
    size: position on the axis.
    rounds: number of runs.
    wall_seconds: median wall-clock time of a run.
    cpu_seconds: median CPU time of a run.
    compile_seconds: time of compilation.
    flops: floating-point operations of a run.
    compiled_bytes: memory that the program needs beside its arguments and results, by XLA.
    peak_bytes: growth of the process's memory in its first run.
  """

  axis: str
  size: int
  rounds: int
  wall_seconds: float
  cpu_seconds: float
  compile_seconds: float
  flops: int
  compiled_bytes: int | None
  peak_bytes: int | None


class Fit(NamedTuple):
  """The exponent of a power law of size, by least squares over logarithms.

  Its interval is at 95 %, by Student's t.
  """

  exponent: float
  low: float
  high: float


def entries_of(axis: Axis, common: Mapping[str, Any], *, points: int | None) -> list[Entry]:
  """A contestant for each of the first `points` points (None: all), named after its size."""
  return [
    _entry(axis, size, make_cell(**{**common, **axis.fields, **fields}))
    for size, fields in axis.points[:points]
  ]


def _entry(axis: Axis, size: int, cell: Cell) -> Entry:
  """The contestant of a point, on one core."""
  units = axis.candidates or size
  work = {'kind': axis.kind, 'cell': configuration(cell), 'units': units}
  arguments = (json.dumps(work | {'remat': axis.remat}), '1')
  return Entry(str(size), 'experiments.benchmarking.worker', arguments)


def points_of(name: str, outcomes: Mapping[str, Outcome]) -> list[Point]:
  """The points of an axis, from the outcomes of its contestants."""
  return [_point(name, int(size), outcome) for size, outcome in outcomes.items()]


def _point(name: str, size: int, outcome: Outcome) -> Point:
  """The point of one outcome."""
  facts, clocks = outcome.facts, ('wall', 'cpu')
  copied = ('compile_seconds', 'flops', 'compiled_bytes', 'peak_bytes')
  return Point(
    axis=name,
    size=size,
    rounds=len(outcome.samples),
    **{
      f'{c}_seconds': float(np.median([getattr(s, c) for s in outcome.samples])) for c in clocks
    },
    **{key: facts[key] for key in copied},
  )


def fit(points: Sequence[Point], column: str) -> Fit | None:
  """The exponent of a column along an axis; None with fewer than three points."""
  points = [point for point in points if point.size >= AXES[point.axis].least]
  if len(points) < 3 or any(not getattr(point, column) for point in points):
    return None
  sizes, values = zip(*((p.size, getattr(p, column)) for p in points), strict=True)
  line: Any = scipy.stats.linregress(np.log(sizes), np.log(values))
  # For equal values SciPy gives NaN as the standard error, which is 0.
  half = float(np.nan_to_num(line.stderr)) * scipy.stats.t.ppf(0.975, len(points) - 2)
  return Fit(float(line.slope), float(line.slope - half), float(line.slope + half))


def verdict(power: Fit | None) -> str:
  """The growth in words and numbers.

  >>> verdict(Fit(1.04, 0.9, 1.2))
  'linear: 1.04 [0.90, 1.20]'
  """
  if power is None:
    return 'too few points'
  words = {'flat': 0, 'linear': 1}
  near = (word for word, at in words.items() if abs(power.exponent - at) <= _TOLERANCE)
  beyond = 'steeper than linear' if power.exponent > 1 else 'less than linear'
  numbers = f'{power.exponent:.2f} [{power.low:.2f}, {power.high:.2f}]'
  return f'{next(near, beyond)}: {numbers}'


def format_axes(series: Mapping[str, Sequence[Point]]) -> str:
  """A table of the exponents of every axis."""
  header = ('axis', 'from', 'to', 'CPU seconds', 'memory', 'compiled memory')
  columns = ('cpu_seconds', 'peak_bytes', 'compiled_bytes')
  rows = [
    (
      name,
      *(str(points[end].size) for end in (0, -1)),
      *(verdict(fit(points, column)) for column in columns),
    )
    for name, points in series.items()
  ]
  return aligned([header, *rows])


def draw_axes(series: Mapping[str, Sequence[Point]]) -> Figure:
  """CPU seconds above memory, a column for each axis, both scales logarithmic."""
  with mpl.rc_context(STYLE):
    size = (1 + 2.7 * len(series), 4.8)
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(2, len(series), squeeze=False)
    for column, (name, points) in zip(grid.T, series.items(), strict=True):
      _draw_axis(column, name, points)
  return figure


def _draw_axis(panels: Sequence[Axes], axis: str, points: Sequence[Point]) -> None:
  """Draws time above memory: the growth of the process, and the need of its program by XLA."""
  sizes = [point.size for point in points]
  for axes, (label, lines), colour in zip(panels, _DRAWN.items(), COLOURS, strict=False):
    for (column, legend, unit), mark in zip(lines, ('o-', 's--'), strict=False):
      values = [(getattr(point, column) or np.nan) / unit for point in points]
      axes.plot(sizes, values, mark, color=colour, label=legend)
    axes.set(xscale='log', yscale='log', xlabel=AXES[axis].label, ylabel=label)
    axes.set_title(
      '\n'.join(
        f'{legend} {verdict(fit(points, column))}'.strip() for column, legend, _ in lines
      ),
      fontsize=8,
    )
    axes.minorticks_off()
    axes.set_xticks(sizes, [f'{size:,}' for size in sizes], fontsize=7)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter('{x:g}')
    if len(lines) > 1:
      axes.legend(frameon=False, fontsize=7)
