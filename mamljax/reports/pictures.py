"""Pictures of a report, drawn by matplotlib: ROC curves and bars, as SVG for pages.

Text and axes are drawn in the colour of the text around them, and text stays text, so that a
picture is readable in light and in dark and can be searched.
"""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mamljax.audit.metrics import Rate, roc
from mamljax.reports.measures import AttackRow

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_LINES = 6  # the most that can be told apart
COLOURS = ('#d1495b', '#2a7fb8', '#3a9a5b', '#b07d12', '#8a63c7', '#5f8a8b')
_INK = '#010203'  # stands for the colour of the text around a picture
_STYLE: dict[str, Any] = {
  'svg.fonttype': 'none',
  'font.family': 'sans-serif',
  'font.size': 10,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'text.color': _INK,
  'axes.labelcolor': _INK,
  'axes.edgecolor': _INK,
  'xtick.color': _INK,
  'ytick.color': _INK,
}


def plot_roc(rows: Sequence[AttackRow], *, axes: 'Axes | None') -> 'Axes':
  """Draws ROC curves, the strongest attacks first, over a logarithmic axis of false positives.

  Args:
    rows: the attacks.
    axes: matplotlib's axes to draw on; those of a new figure if None.
  """
  if axes is None:
    import matplotlib.pyplot as plt

    axes = plt.figure(layout='constrained').subplots()
  _draw_roc(axes, rows)
  return axes


def _draw_roc(axes: 'Axes', rows: Sequence[AttackRow]) -> None:
  """Draws ROC curves; a curve begins where the trials resolve a false-positive rate."""
  least = 1 / max(int(np.sum(~row.members)) for row in rows)
  chance = np.geomspace(least, 1, 50)
  axes.plot(chance, chance, color='#888888', linewidth=1, linestyle=':', label='guessing')
  for row, colour in zip(rows[:_LINES], COLOURS, strict=False):
    fpr, tpr = roc(row.scores, row.members)
    label = f'{row.attack} ({row.auc.value:.2f})'
    axes.step(np.maximum(fpr, least / 2), tpr, where='post', color=colour, label=label)
  axes.set(xscale='log', xlim=(least, 1), ylim=(0, 1.02))
  axes.set(xlabel='false-positive rate', ylabel='true-positive rate')
  axes.legend(frameon=False, fontsize=9, loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=2)


def roc_svg(rows: Sequence[AttackRow]) -> str:
  """The ROC curves of the strongest attacks, as SVG."""
  import matplotlib as mpl
  from matplotlib.figure import Figure

  with mpl.rc_context(style('roc')):
    figure = Figure(figsize=(4.4, 4.4), layout='constrained')
    _draw_roc(figure.subplots(), rows)
    return as_svg(figure, 'ROC curves of the strongest attacks, with their AUC')


def bars_svg(
  names: Sequence[str], rates: Sequence[Rate], *, label: str, chance: float | None
) -> str:
  """Rates with their intervals as bars, from above, as SVG.

  Args:
    names: of the bars.
    rates: their values, in [0, 1].
    label: of the axis.
    chance: the value of a guess, which is marked.
  """
  import matplotlib as mpl
  from matplotlib.figure import Figure

  with mpl.rc_context(style(label)):
    figure = Figure(figsize=(4.4, 1.0 + 0.32 * len(names)), layout='constrained')
    axes, places = figure.subplots(), np.arange(len(names))
    values = np.array([rate.value for rate in rates])
    ends = np.array([[r.value - r.low, r.high - r.value] for r in rates]).T
    colours = [COLOURS[min(place, _LINES - 1)] for place in places]
    axes.barh(places, values, color=colours, height=0.6, alpha=0.75)
    axes.errorbar(values, places, xerr=ends, fmt='none', ecolor=_INK, elinewidth=1, capsize=3)
    if chance is not None:
      axes.axvline(chance, color='#888888', linestyle=':', linewidth=1)
    axes.set(yticks=places, yticklabels=list(names), xlim=(0, 1.02), xlabel=label)
    axes.invert_yaxis()
    return as_svg(figure, f'{label}, with intervals at 95 %')


def image_svg(images: np.ndarray) -> str:
  """Images [n, height, width, channels] in a row, each stretched to its own range, as SVG."""
  import matplotlib as mpl
  from matplotlib.figure import Figure

  columns = min(len(images), 6)
  rows = -(-len(images) // columns)
  with mpl.rc_context(style('images')):
    figure = Figure(figsize=(0.9 * columns, 0.9 * rows), layout='constrained')
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels:
      axes.set_axis_off()
    for axes, image in zip(panels, images, strict=False):
      axes.imshow(_unit(image), cmap='gray', interpolation='nearest')
    return as_svg(figure, 'Images that were read off the update')


def style(salt: str) -> Any:
  """The style of a picture; its identifiers differ from those of others on the page."""
  return _STYLE | {'svg.hashsalt': salt}


def _unit(image: np.ndarray) -> np.ndarray:
  """An image as matplotlib takes it, [height, width] or [height, width, 3], in [0, 1]."""
  low, high = image.min(), image.max()
  image = (image - low) / max(high - low, 1e-12)
  return image[..., 0] if image.shape[-1] not in (3, 4) else image[..., :3]


def as_svg(figure: 'Figure', title: str) -> str:
  """A figure as an SVG element that fits its column, with a description in words."""
  buffer = io.StringIO()
  figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
  text = buffer.getvalue()
  text = text[text.index('<svg') :].replace(_INK, 'currentColor')
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  width = re.search(r'<svg[^>]*? width="([\d.]+)pt"', text)
  assert width is not None
  style = f'style="width:100%;height:auto;max-width:{float(width[1]) * 1.6:.0f}px"'
  text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1', text, count=1)
  text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1', text, count=1)
  return text.replace('<svg', f'<svg role="img" aria-label="{title}" {style}', 1)
