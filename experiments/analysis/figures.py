"""Figures of results, drawn without a display."""

import io
import itertools
import os
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from experiments.store.cells import CellResult
from experiments.store.reconstructions import Examples
from mamljax import atomic
from mamljax.audit.metrics import roc

STYLE: dict[Any, Any] = {
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.grid': True,
  'grid.alpha': 0.3,
  'font.size': 9,
  'savefig.bbox': 'tight',
  'savefig.dpi': 150,
}
PAIRS = 3  # of members, and as many of non-members, in a row of Figure 4
COLOURS = ('#0b6e99', '#c8553d', '#588157', '#7b5ea7', '#b08900')


def save(figure: Figure, path: str | os.PathLike[str], *, private: bool = False) -> None:
  """Writes a figure as PNG, whole or not at all; only its user can read a `private` one."""
  with mpl.rc_context(STYLE):
    atomic.write_bytes(path, png(figure), private=private)


def png(figure: Figure) -> bytes:
  """A figure as PNG, its text taken literally: a dollar in a file name begins no formula."""
  for text in figure.findobj(Text):
    name = atomic.encoded(text.get_text()).decode()  # pyright: ignore[reportAttributeAccessIssue]
    text.set_text(name.replace('$', r'\$'))  # pyright: ignore[reportAttributeAccessIssue]
  figure.savefig(data := io.BytesIO(), format='png')
  return data.getvalue()


def learning(rows: Sequence[dict[str, Any]]) -> Figure:
  """Held-out accuracy against rounds of meta-training, a line for each model.

  Args:
    rows: lines of the table that `experiments.train` writes.
  """
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(5, 3.2))
    axes, colours = figure.subplots(), itertools.cycle(COLOURS)
    models = itertools.groupby(rows, lambda r: (r['dataset'], r['ways'], r['shots']))
    for (dataset, ways, shots), group in models:
      colour, points = next(colours), list(group)
      rounds, accuracy, low, high = (
        np.array([point[name] for point in points])
        for name in ('rounds', 'accuracy', 'accuracy_low', 'accuracy_high')
      )
      axes.plot(
        rounds, accuracy, 'o-', color=colour, label=f'{dataset} {ways}-way {shots}-shot'
      )
      axes.fill_between(rounds, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel='rounds of meta-training', ylabel='accuracy on new tasks', ylim=(0, 1))
    axes.legend(loc='lower right', frameon=False)
  return figure


def picture(result: CellResult, examples: Examples | None) -> Figure:
  """A cell at a glance: candidates and reconstructions, if any, then scores and ROC curve."""
  scores, members = np.array(result.trials.scores), np.array(result.trials.members)
  with mpl.rc_context(STYLE):
    widths = (1.9,) if examples is None else (1, 1.9)  # the last belongs to the plots
    figure = Figure(figsize=(3.1 * sum(widths), 3.2), layout='constrained')
    *left, right = np.ravel(
      figure.subfigures(1, len(widths), width_ratios=widths, squeeze=False)
    )
    if examples is not None:
      _draw_examples(left[0], result, examples)
    histogram, curve = right.subplots(1, 2)
    _draw_scores(histogram, scores, members, result.metrics.threshold)
    _draw_roc(curve, scores, members)
  return figure


def pairs(cells: Sequence[tuple[CellResult, Examples]]) -> Figure:
  """Candidates beside their reconstructions, members left, non-members right (Figure 4).

  Args:
    cells: results with their examples, a row each.
  """
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(9.5, 1.02 * len(cells) + 0.3), layout='constrained')
    left, right = np.ravel(figure.subfigures(1, 2, wspace=0.03, squeeze=False))
    _draw_half(left, cells, truth=True)
    _draw_half(right, cells, truth=False)
  return figure


def score_text(result: CellResult, score: float) -> str:
  """A score with its name: the SSIM of the paper, or a score without a unit."""
  cell = result.columns
  judge = cell['reconstruction.judge'] if cell['attack'] == 'reconstruction' else ''
  return f'SSIM {score:.2f}' if judge == 'ssim' else f'score {score:.3g}'


def gallery(rows: dict[str, np.ndarray]) -> Figure:
  """Rows of images under each other, each with its name.

  Args:
    rows: images in [0, 1], [n, height, width, channels], by the name of their row; all rows
      have the same number of images.
  """
  with mpl.rc_context(STYLE):
    count = max(map(len, rows.values()))
    figure = Figure(figsize=(0.9 * count, 1.15 * len(rows)), layout='constrained')
    grid = figure.subplots(len(rows), count, squeeze=False)
    for (name, images), line in zip(rows.items(), grid, strict=True):
      _show_row(line, name, images)
  return figure


def _show_row(line, name: str, images: np.ndarray) -> None:
  """Shows images in [0, 1] beside each other, their name above the first."""
  line[0].set_title(name, loc='left', fontsize=8, pad=3)
  for axes, image in zip(line, images, strict=True):
    _show(axes, 255 * image, COLOURS[0])


def _draw_half(half, cells: Sequence[tuple[CellResult, Examples]], *, truth: bool) -> None:
  """Draws the members of all cells, or the non-members."""
  name, colour = ('members', COLOURS[0]) if truth else ('non-members', COLOURS[1])
  half.suptitle(name, color=colour, fontsize=10)
  grid = half.subplots(len(cells), 2 * PAIRS, squeeze=False)
  for row, (result, examples) in zip(grid, cells, strict=True):
    _draw_pairs(row, result, examples, truth=truth, colour=colour)


def _draw_pairs(
  row, result: CellResult, examples: Examples, *, truth: bool, colour: str
) -> None:
  """Draws the first members or non-members of a cell beside their reconstructions."""
  members = np.array(result.trials.members)[: len(examples.candidates)]
  for axes in row:
    axes.set_axis_off()
  places = zip(row.reshape(-1, 2), np.flatnonzero(members == truth).tolist(), strict=False)
  for pair, trial in places:
    _show_pair(pair, result, examples, trial, colour)
  if truth:
    cell = result.columns
    row[0].set_ylabel(f'{cell["dataset"]}\n{cell["target"]}', fontsize=8)


def _draw_examples(figure, result: CellResult, examples: Examples) -> None:
  """Draws pairs of candidate and reconstruction, two in a row, members above."""
  members = np.array(result.trials.members)[: len(examples.candidates)]
  kinds = (('members', True, COLOURS[0]), ('non-members', False, COLOURS[1]))
  rows = max(np.sum(members == truth) + 1 for _, truth, _ in kinds) // 2
  grid = figure.subplots(2 * rows, 4)
  for axes in grid.flat:
    axes.set_axis_off()
  for (name, truth, colour), half in zip(kinds, np.split(grid, 2), strict=True):
    half[0, 0].set_title(name, color=colour, fontsize=9, loc='left', pad=9)
    for pair, trial in zip(
      half.reshape(-1, 2), np.flatnonzero(members == truth).tolist(), strict=False
    ):
      _show_pair(pair, result, examples, trial, colour)


def _show_pair(pair, result: CellResult, examples: Examples, trial: int, colour: str) -> None:
  """Shows a candidate and its reconstruction, with the score above the latter."""
  _show(pair[0], examples.candidates[trial], colour)
  _show(pair[1], examples.reconstructions[trial], colour)
  pair[1].set_title(score_text(result, result.trials.scores[trial]), fontsize=7, pad=2)


def _show(axes, image: np.ndarray, colour: str) -> None:
  """Shows an image in a coloured frame."""
  axes.imshow(image.squeeze(), cmap='gray', vmin=0, vmax=255)
  axes.set_axis_on()
  axes.set(xticks=[], yticks=[])
  axes.grid(visible=False)
  for spine in axes.spines.values():
    spine.set(visible=True, color=colour, linewidth=1.5)


def _draw_scores(axes, scores: np.ndarray, members: np.ndarray, threshold: float) -> None:
  """Draws histograms of the scores of members and non-members, and the threshold.

  The lowest and the highest hundredth of the scores count in the outer bars: the long tails of
  a likelihood ratio would leave no room for the rest.
  """
  low, high = np.quantile(scores, (0.01, 0.99))
  scores, bins = np.clip(scores, low, high), np.linspace(low, high, 21)
  for truth, name, colour in (
    (True, 'members', COLOURS[0]),
    (False, 'non-members', COLOURS[1]),
  ):
    axes.hist(scores[members == truth], bins, color=colour, alpha=0.7, label=name)
  axes.axvline(threshold, color='black', linewidth=1, linestyle='--')
  axes.set(xlabel='score', ylabel='trials')
  axes.margins(y=0.25)
  axes.locator_params(axis='x', nbins=5)
  axes.locator_params(axis='y', integer=True)
  axes.legend(edgecolor='none', framealpha=1, loc='upper right')


def roc_points(scores: ArrayLike, members: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """The ROC curve for a logarithmic axis: false-positive rates of 0 move to its left end."""
  fpr, tpr = roc(scores, members)
  return np.maximum(fpr, 1 / np.sum(~np.asarray(members))), tpr


def _draw_roc(axes, scores: np.ndarray, members: np.ndarray) -> None:
  """Draws the ROC curve over a logarithmic axis of false-positive rates."""
  fpr, tpr = roc_points(scores, members)
  axes.step(fpr, tpr, color=COLOURS[0], where='post')
  chance = np.geomspace(fpr[0], 1, 50)
  axes.plot(chance, chance, color='grey', linewidth=1, linestyle=':')
  axes.set(xscale='log', ylim=(0, 1.02), xlabel='false positive rate')
  axes.set_ylabel('true positive rate')
