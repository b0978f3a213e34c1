"""Pareto picture of a study: the worst attack on each defence against what it lets learn."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from mamljax.audit.metrics import Rate
from mamljax.reports import pictures
from mamljax.reports.defended import DefenceRow, Floor

if TYPE_CHECKING:
  from matplotlib.axes import Axes

CAPTION = (
  'The worst attack on each defence against the accuracy of learning under it, with 95 % '
  'intervals: the lower and the further to the right, the better. The dotted lines mark '
  'guessing, a broken line the model before training, the star no defence. To protect is here '
  'to leave attacks, of which one models the defence, at most half of what they gain over '
  'guessing without one; to learn, to be above guessing and above no training; all with their '
  'intervals.'
)
_MARKERS = 'oDv^sPX'
_GREY = '#888888'
_GUESS = 0.5  # accuracy of a guess whether an image is a member


def plot(
  rows: Sequence[DefenceRow], *, floor: Floor, held: Collection[str], axes: 'Axes | None'
) -> 'Axes':
  """Draws the worst attack on each defence against the accuracy of learning, with intervals.

  Args:
    rows: the measures of each defence, that of no defence first.
    floor: accuracies of guessing and of no training.
    held: names of the defences that hold all bounds, which are ringed.
    axes: matplotlib's axes to draw on; those of a new figure if None.
  """
  if axes is None:
    import matplotlib.pyplot as plt

    axes = plt.figure(figsize=(6.4, 4.8), layout='constrained').subplots()
  _draw(axes, rows, floor, held)
  axes.set_title(title(rows, floor=floor), fontsize='medium')
  return axes


def svg(rows: Sequence[DefenceRow], *, floor: Floor, held: Collection[str]) -> str:
  """The picture of `plot` as SVG, without a title."""
  import matplotlib as mpl
  from matplotlib.figure import Figure

  with mpl.rc_context(pictures.style('pareto')):
    figure = Figure(figsize=(6.4, 4.4), layout='constrained')
    _draw(figure.subplots(), rows, floor, held)
    return pictures.as_svg(figure, title(rows, floor=floor))


def title(rows: Sequence[DefenceRow], *, floor: Floor) -> str:
  """The answer of the picture in a sentence: whether a defence protects and learns.

  A defence protects here if its worst attack, one that models it among them, keeps at most half
  of what attacks gain over guessing without a defence; it learns if its accuracy is above
  guessing, and above that of no training. Both are held by the unfavourable ends of intervals.
  Where too little was trained to learn even without a defence, nothing is told of costs.
  """
  base = rows[0].worst
  if not drawable(rows[1:]):
    return 'Learning was not measured: what defences cost is open'
  if rows[0].learning is not None and not rows[0].learns(floor):
    return 'Not shown to learn even without a defence: costs are open'
  if base is None or base.accuracy.low <= _GUESS:
    return 'No attack finds anything without a defence: nothing is told of defences'
  most = _GUESS + (base.accuracy.low - _GUESS) / 2
  good = [row.name for row in rows[1:] if _protects(row, most) and row.learns(floor)]
  if not good:
    return 'No defence here protects and learns'
  return f'Protects by half, and learns: {", ".join(good)}'


def drawable(rows: Sequence[DefenceRow]) -> list[DefenceRow]:
  """The defences that were attacked and trained under."""
  return [row for row in rows if row.worst is not None and row.learning is not None]


def _protects(row: DefenceRow, most: float) -> bool:
  """Tests whether attacks, one that models the defence among them, decide at most so well."""
  return row.worst is not None and bool(row.worst.informed) and row.worst.accuracy.high <= most


def _draw(
  axes: 'Axes', rows: Sequence[DefenceRow], floor: Floor, held: Collection[str]
) -> None:
  """Draws the lines of guessing and a point with two intervals for each defence."""
  thin: dict[str, Any] = {'color': _GREY, 'linewidth': 1}
  axes.axhline(_GUESS, **thin, linestyle=':')
  axes.axvline(floor.chance, **thin, linestyle=':', label='guessing')
  if floor.untrained:
    axes.axvline(floor.untrained.value, **thin, linestyle='--', label='no training')
  for place, row in enumerate(drawable(rows)):
    _draw_point(axes, row, place)
    if row.name in held:
      _ring(axes, row)
  if any(row.name in held for row in drawable(rows)):
    axes.plot([], [], **_RING, markersize=10, label='holds all bounds')
  axes.set(xlim=(0, 1.02), ylim=(0.4, 1.02))
  axes.set(xlabel='accuracy of learning', ylabel='accuracy of the worst attack')
  axes.legend(frameon=False, fontsize='small', loc='center left', bbox_to_anchor=(1.01, 0.5))


def _draw_point(axes: 'Axes', row: DefenceRow, place: int) -> None:
  """Draws a defence: no defence as a star, one that no attack models as an open mark."""
  assert row.worst is not None
  assert row.learning is not None
  x, y = row.learning, row.worst.accuracy
  colour = pictures.COLOURS[place % len(pictures.COLOURS)]
  open_mark = row.defence is not None and not row.worst.informed
  axes.errorbar(
    x.value,
    y.value,
    xerr=_ends(x),
    yerr=_ends(y),
    fmt='*' if row.defence is None else _MARKERS[place % len(_MARKERS)],
    markersize=13 if row.defence is None else 7,
    markerfacecolor='none' if open_mark else colour,
    color=colour,
    elinewidth=1,
    label=row.name + '\n(no attack models it)' * open_mark,
  )


_RING: dict[str, Any] = {
  'marker': 'o',
  'markerfacecolor': 'none',
  'markeredgecolor': '#3a9a5b',
  'markeredgewidth': 2,
  'linestyle': 'none',
}


def _ring(axes: 'Axes', row: DefenceRow) -> None:
  """Draws a ring about a defence that holds all bounds."""
  assert row.worst is not None
  assert row.learning is not None
  axes.plot([row.learning.value], [row.worst.accuracy.value], **_RING, markersize=17)


def _ends(rate: Rate) -> list[list[float]]:
  """The lengths of an interval on both sides, [2, 1], as error bars take them."""
  return [[rate.value - rate.low], [rate.high - rate.value]]
