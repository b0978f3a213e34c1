"""Figures of curves: one panel, or along the noise scale one for each place of the noise."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.analysis.ceiling import is_bound
from experiments.analysis.curves.noise_area import areas_of
from experiments.analysis.curves.series import (
  NOISE,
  Curve,
  attack_accuracy,
  find_curves,
  is_local,
  learning_accuracy,
)
from experiments.analysis.figures import COLOURS, STYLE
from experiments.analysis.results_csv import row
from experiments.store.cells import Summary
from mamljax.audit.metrics import Rate

LEARNING, ATTACK, AREA = COLOURS[:3]  # blue, red and green, as in the paper
CEILING = 'black'
_MARKERS = ('o', 's', '^', 'v', 'P')
_LINES: tuple[Any, ...] = ('-', '--', '-.', (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))
_MAX_TICKS = 6
_PRINTED_ALONG = ('ways', 'shots')  # fields along which the paper's tables are printed


def curves(results: Sequence[Summary], x: str) -> Figure:
  """The accuracy of the attack, and of learning where it was measured, against `x`.

  A line joins the cells that agree in all other fields, and its band shows their 95 %
  intervals. Where learning was measured, it is blue beside the red attack, and each line has a
  panel of its own. Hollow diamonds are accuracies that the paper prints. It prints them for
  each size of task, so along any other field there is one, at the left end. Along
  'noise_scale' there is a panel for each place of the noise, with the standard deviation that
  is added there on a logarithmic axis, the undefended cell at the left and the confident noise
  areas in green. The upper bound on attacks is black.

  Args:
    results: finished cells.
    x: a numeric field of cells.

  Raises:
    InputError: if there is nothing to draw, or if `x` is no such field.
  """
  lines = find_curves(results, x)
  panels = _panels(lines, separate=_measure_learning(lines))
  places = {noise for _, noise in panels}
  crossed = 1 < len(places) < len(panels)  # each place of the noise then has a column
  columns = len(places) if crossed else min(2, len(panels))
  rows = math.ceil(len(panels) / columns)
  with mpl.rc_context(STYLE):
    size = (1 + 4 * columns, 1 + 2.5 * rows)
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, (axes, names) in enumerate(zip(grid, panels, strict=False)):
      _draw_panel(axes, panels[names], x)
      title = ': '.join(filter(None, names))
      axes.set_title(f'({chr(ord("a") + index)}) {title}' if columns > 1 else title)
    for axes in grid[len(panels) :]:
      axes.remove()
    _add_legend(figure, columns=2 * columns)
  return figure


def _panels(curves: Sequence[Curve], *, separate: bool) -> dict[tuple[str, str], list[Curve]]:
  """The curves of each panel, by their label if they are to be separate, and their noise."""
  labels = [curve.label for curve in curves] if separate else ['']
  panels: dict[tuple[str, str], list[Curve]] = {}
  for curve in sorted(curves, key=lambda curve: labels.index(curve.label) if separate else 0):
    panels.setdefault((curve.label if separate else '', curve.noise), []).append(curve)
  return panels


def _measure_learning(curves: Sequence[Curve]) -> bool:
  """Tests whether learning was measured beside the attack in a cell of some curves."""
  return any('learning' in cell.extra for curve in curves for cell in curve.cells)


def _draw_panel(axes: Axes, group: Sequence[Curve], x: str) -> None:
  """Draws the curves of a panel, and the values that they are to be compared with."""
  cells = [cell for curve in group for cell in curve.cells]
  learns = _measure_learning(group)
  start = _set_noise_axis(axes, group) if x == NOISE else math.nan
  axes.set(ylim=(0, 1.02), ylabel='accuracy' if learns else 'accuracy of the attack')
  if x != NOISE:
    axes.set_xlabel(x.replace('_', ' '))
    axes.xaxis.set_major_locator(MaxNLocator(integer=isinstance(group[0].xs[0], int)))
  if learns:
    _add_legend_line(axes, ATTACK, 'attack')
    _add_legend_line(axes, LEARNING, 'learning')
  for index, curve in enumerate(group):
    color, marks = ATTACK if learns else COLOURS[index % 5], _marks(index)
    label = '' if learns else curve.label  # the title has it
    if is_bound(curve.cells[0]):
      color, label = CEILING, f'{label}: no attack can pass it'.removeprefix(': ')
    _draw_line(axes, curve, start, attack_accuracy, color=color, **marks)
    _draw_printed(axes, curve, x, start, color)
    if learns:
      _draw_line(axes, curve, start, learning_accuracy, color=LEARNING, **marks)
    _add_legend_line(axes, 'black' if learns else color, label, **marks)
    for low, high in areas_of(curve) or []:
      axes.axvspan(low, high, color=AREA, alpha=0.25, label='confident noise area')
  if all(map(is_local, cells)):
    axes.axhline(0.5, color='grey', linewidth=1, linestyle=':', label='chance')


def _draw_line(
  axes: Axes,
  curve: Curve,
  start: float,
  accuracy: Callable[[Summary], Rate],
  *,
  color: str,
  **marks: Any,
) -> None:
  """Draws a line in its band, and the undefended cell at `start` with its interval."""
  values, low, high = np.array([accuracy(cell) for cell in curve.cells]).T
  axes.fill_between(curve.xs, low, high, color=color, alpha=0.15, linewidth=0)
  axes.plot(curve.xs, values, color=color, **marks)
  if curve.undefended is not None:
    value, low, high = accuracy(curve.undefended)
    axes.plot([start, curve.xs[0]], [value, values[0]], ':', color=color, linewidth=1)
    axes.plot([start, start], [low, high], color=color, alpha=0.5, linewidth=3)
    axes.plot(start, value, color=color, **marks)


def _draw_printed(axes: Axes, curve: Curve, x: str, start: float, color: str) -> None:
  """Draws the accuracies that the paper prints for the cells of a curve."""
  places = [(start, curve.undefended), *zip(curve.xs, curve.cells, strict=True)]
  rows = [(at, row(cell)['paper_accuracy']) for at, cell in places if cell is not None]
  known = [(at, printed) for at, printed in rows if printed is not None]
  hollow = {'marker': 'D', 'linestyle': '', 'markerfacecolor': 'none', 'markersize': 7}
  for at, printed in known if x in _PRINTED_ALONG else known[:1]:
    axes.plot(at, printed, color=color, **hollow)
  if known:
    axes.plot([], [], color='grey', label='printed in the paper', **hollow)


def _set_noise_axis(axes: Axes, group: Sequence[Curve]) -> float:
  """Makes the x axis one of standard deviations; returns the place of 'no noise' on it."""
  scales = sorted({x for curve in group for x in curve.xs})
  start = scales[0] * (scales[0] / scales[-1]) ** 0.15 / 1.5
  shown = scales[:: math.ceil(len(scales) / _MAX_TICKS)]
  axes.set(xscale='log', xlabel='standard deviation of the noise')
  axes.set_xticks([start, *shown], ['none', *(f'{scale:g}' for scale in shown)])
  axes.set_xticks([], minor=True)
  edge = (start * scales[0]) ** 0.5
  axes.axvspan(start**2 / edge, edge, color='0.93', zorder=0)
  return start


def _add_legend(figure: Figure, *, columns: int) -> None:
  """One legend below all panels, each name once."""
  named: dict[str, Any] = {}
  for axes in figure.axes:
    handles, labels = axes.get_legend_handles_labels()
    named |= dict(zip(labels, handles, strict=True))
  if named:
    figure.legend(
      named.values(),
      named.keys(),
      loc='outside lower center',
      ncols=min(columns, len(named)),
      frameon=False,
      handlelength=3,
    )


def _marks(index: int) -> dict[str, Any]:
  """Marker and line style of a curve; with the five colours, they tell 25 curves apart."""
  turn = (index + index // 5) % 5
  return {'marker': _MARKERS[turn], 'linestyle': _LINES[turn], 'markersize': 4}


def _add_legend_line(axes: Axes, color: str, label: str, **marks: Any) -> None:
  """Adds a line to the legend; none for an empty label."""
  if label:
    axes.plot([], [], color=color, label=label, **marks)
