"""The test of Proposition 3.1, network by network, as a table and a figure."""

from collections.abc import Sequence
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.store import cells, runs
from experiments.studies import identifiability
from experiments.studies.identifiability import Distances, Finding
from mamljax import atomic
from mamljax.types import Pool, Task

OURS, OTHERS = figures.COLOURS[:2]
ROUNDING = 1e-17  # drawn in place of an exact 0


def run_study(
  folder: Path,
  *,
  dataset: str,
  data_dir: Path | None,
  units: Sequence[int],
  tasks: int,
  seed: int,
) -> list[Finding]:
  """Tests every network; FOLDER gets identifiability.csv and identifiability.png.

  Args:
    folder: where they are written.
    dataset: its name, TFDS name or npz:PATH.
    data_dir: folder of prepared data sets.
    units: widths of the hidden layers, the pictured one first.
    tasks: number of tasks whose images the MLP is tested on.
    seed: of all random draws.
  """
  cells.check_output_dir(folder)
  runs.begin(folder, 'identifiability.csv')
  with jax.enable_x64(True):
    small, full = (
      identifiability.load_pool(dataset, data_dir=data_dir, image_size=size)
      for size in (identifiability.SIZE, None)
    )
    findings, figure = _test(jax.random.key(seed), small, full, units, tasks)
  figures.save(figure, folder / 'identifiability.png', private=True)
  table = csv_text(Finding._fields, [finding._asdict() for finding in findings])
  atomic.write_text(folder / 'identifiability.csv', table)
  runs.write_run(folder)
  return findings


def _test(
  key: jax.Array, small: Pool, full: Pool, units: Sequence[int], tasks: int
) -> tuple[list[Finding], Figure]:
  """Tests the neuron, networks of these widths and the MLP; also draws the findings."""
  task, other = identifiability.draw_two_tasks(jax.random.fold_in(key, 0), small)
  neuron, *neuron_tasks = identifiability.match_neuron()
  networks = [(n, 'sigmoid') for n in units] + [(units[0], 'relu')]
  matched = [
    identifiability.match(key, task, other, units=n, activation=a) for n, a in networks
  ]
  mlp, distances = identifiability.measure_distances(key, full, tasks=tasks)
  findings = [neuron, *(finding for finding, _ in matched), mlp]
  return findings, draw(findings, neuron_tasks, (task, matched[0][1]), distances)


def format_table(findings: Sequence[Finding]) -> str:
  """The table as printed, a row for each network."""
  names = [name.replace('_', ' ') for name in Finding._fields]
  lines = [names, *(list(map(_cell, finding)) for finding in findings)]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  return '\n'.join(
    '  '.join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    for line in lines
  )


def draw(
  findings: Sequence[Finding],
  neuron_tasks: Sequence[np.ndarray],
  tasks: tuple[Task, Task],
  distances: Distances,
) -> Figure:
  """Two pairs of tasks with one gradient, the mismatch against width, distances of images."""
  networks = [finding for finding in findings if finding.network.startswith('sigmoid')]
  with mpl.rc_context(figures.STYLE):
    figure = Figure(figsize=(10, 7.2), layout='constrained')
    (neuron, images), (widths, histogram) = figure.subplots(2, 2, width_ratios=(1, 1.3))
    _draw_neuron(neuron, neuron_tasks, findings[0])
    _draw_tasks(images, tasks, networks[0])
    _draw_widths(widths, networks)
    _draw_distances(histogram, distances)
  return figure


def _draw_neuron(axes: Axes, tasks: Sequence[np.ndarray], finding: Finding) -> None:
  """Draws both tasks as points, and the neuron before and after adaptation on each."""
  w, rate = np.array(identifiability.NEURON), identifiability.INNER.learning_rate
  line = np.linspace(-0.6, 1.1 * np.max(np.array(tasks)[..., 0]), 200)
  axes.plot(line, np.maximum(w[0] * line + w[1], 0), ':', color='black', label='before')
  for name, colour, ((x, y), query) in zip(('D', 'M'), (OURS, OTHERS), tasks, strict=True):
    theta = w - rate * 2 * (w @ [x, 1] - y) * np.array([x, 1])
    axes.plot(x, y, 'o', color=colour, fillstyle='none', label=f'{name} support')
    axes.plot(*query, 'o', color=colour, label=f'{name} query')
    adapted = np.maximum(theta[0] * line + theta[1], 0)
    axes.plot(line, adapted, color=colour, linewidth=1, label=f'adapted on {name}')
  axes.set(xlabel='input x', ylabel='target y')
  axes.set_title(f'One neuron: gradients of D and M differ by {finding.mismatch:.0e}')
  axes.legend(frameon=False, fontsize=8, loc='upper left')


def _draw_tasks(axes: Axes, tasks: tuple[Task, Task], finding: Finding) -> None:
  """Draws a block for each set of images, with a row for each class."""
  mosaic = np.block([[_tile(batch.images) for batch in task] for task in tasks])
  axes.imshow(mosaic.transpose(1, 2, 0).squeeze(), cmap='gray', vmin=0, vmax=1)
  height, width = mosaic.shape[1:]
  axes.set_xticks([width / 4, 3 * width / 4], ['support', 'query'])
  axes.set_yticks([height / 4, 3 * height / 4], ['D', 'M'])
  for label, colour in zip(axes.get_yticklabels(), (OURS, OTHERS), strict=True):
    label.set(color=colour, fontsize=12)
  difference = f'gradients of D and M differ by {finding.mismatch:.0e}'
  axes.set_title(f'{finding.hidden_units} hidden units: {difference}')
  axes.tick_params(length=0)
  axes.grid(visible=False)
  axes.spines[:].set_visible(False)


def _tile(images: jax.Array) -> np.ndarray:
  """The images of a set, a row for each class, with white seams, [channels, height, width]."""
  padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
  n, height, width, channels = padded.shape
  rows = padded.reshape(identifiability.WAYS, -1, height, width, channels)
  tiled = rows.transpose(4, 0, 2, 1, 3).reshape(channels, -1, n // identifiability.WAYS * width)
  return np.pad(tiled, ((0, 0), (2, 2), (2, 2)), constant_values=1)


def _draw_widths(axes: Axes, networks: Sequence[Finding]) -> None:
  """Draws the mismatch of the best task found and its lower bound against the width."""
  units, mismatch, least = (
    np.array([getattr(network, name) for network in networks])
    for name in ('hidden_units', 'mismatch', 'least_mismatch')
  )
  positive = least > 0
  axes.plot(units, mismatch, 'o-', color=OTHERS, label='best M found')
  axes.plot(
    units[positive], least[positive], 'v--', color='black', label='row space: no M is below'
  )
  axes.set_xscale('log', base=2)
  axes.set(yscale='log', xlabel='hidden units', ylabel='difference of the gradients')
  axes.set_ylim(ROUNDING, 1)
  axes.set_xticks(units, list(map(str, units)))
  axes.set_title('The same D, wider networks')
  axes.legend(frameon=False)


def _draw_distances(axes: Axes, distances: Distances) -> None:
  """Draws histograms of the distances from the row space."""
  distances = Distances(*(np.maximum(values, ROUNDING) for values in distances))
  bins = np.geomspace(min(map(np.min, distances)) / 2, 1, 60)
  for values, colour, name in zip(
    distances, (OURS, OTHERS), ("the task's images", 'others of its classes'), strict=True
  ):
    axes.hist(values, list(bins), color=colour, label=name)
  axes.set(xscale='log', xlabel='distance of an image from the row space', ylabel='images')
  axes.set_title('MLP: the first layer tells whose images were used')
  axes.legend(frameon=False, loc='upper center')


def _cell(value: str | float | None) -> str:
  """A value of the table as text."""
  return '' if value is None else f'{value:.2g}' if isinstance(value, float) else str(value)
