"""Run time of an attack: for one candidate alone, and per candidate of a batch on all cores."""

import dataclasses
import itertools
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.analysis import paper
from experiments.analysis.figures import COLOURS, STYLE
from experiments.analysis.text import aligned
from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.engine import resumable
from experiments.process.compilation import compile_once
from mamljax.audit.blocks import Block, play_block
from mamljax.audit.placement import trials_mesh
from mamljax.audit.trials import Setting
from mamljax.types import Pool

_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
  'one candidate alone': ('seconds_one', {'marker': 'o', 'linestyle': '-'}),
  'one of a batch': ('seconds_amortised', {'marker': 's', 'linestyle': '--'}),
  'one in the paper': ('paper_seconds', {'marker': 'D', 'linestyle': ':', 'mfc': 'none'}),
}


class Runtime(NamedTuple):
  """A line of runtimes.csv; times in seconds, after compilation unless said otherwise.

  Attributes:
    target: the attacked set.
    data_size: number of images in that set, ways x shots.
    ways: number of classes of a task.
    shots: number of images of a class.
    iterations: number of steps of the attack.
    seconds_one: median time of a candidate alone on one device.
    seconds_one_low: time of the fastest of these candidates.
    seconds_one_high: time of the slowest of these candidates.
    seconds_amortised: time per candidate of a batch that is divided among all devices.
    compile_seconds: time of compilation before the first candidate alone.
    paper_seconds: the time that the paper prints for a candidate; None where it prints none.
    paper_over_one: that time relative to `seconds_one`.
    paper_over_amortised: that time relative to `seconds_amortised`.
    device_kind: kind of the devices, as jax names it.
    devices: number of devices that shared the batch.
    seed: seed of the tasks and candidates.
  """

  target: str
  data_size: int
  ways: int
  shots: int
  iterations: int
  seconds_one: float
  seconds_one_low: float
  seconds_one_high: float
  seconds_amortised: float
  compile_seconds: float
  paper_seconds: float | None
  paper_over_one: float | None
  paper_over_amortised: float | None
  device_kind: str
  devices: int
  seed: int


def measure(
  cell: Cell, setting: Setting, pool: Pool, *, repeats: int, candidates: int
) -> Runtime:
  """Times the attack of a cell.

  Args:
    cell: the attack; its `chunk` candidates are computed together in the batch.
    setting: the setting that its trials share, from `make_setting`.
    pool: the images from which tasks and candidates are drawn.
    repeats: number of candidates that are timed alone, after one that is not timed.
    candidates: number of candidates in the batch.
  """
  alone = _play_alone(cell, setting, pool, count=1 + repeats)
  seconds = [block.seconds for block in alone[1:]]
  batch = resumable.play(
    cell, setting, pool, stream=Stream.REPORTED, count=candidates, advance=lambda _: None
  )
  size = cell.task.ways * cell.task.shots
  one, amortised = statistics.median(seconds), batch.seconds / candidates
  steps = cell.attack.iterations
  printed = paper.printed_seconds(cell.game.target, size, steps)
  return Runtime(
    target=cell.game.target,
    data_size=size,
    ways=cell.task.ways,
    shots=cell.task.shots,
    iterations=steps,
    seconds_one=one,
    seconds_one_low=min(seconds),
    seconds_one_high=max(seconds),
    seconds_amortised=amortised,
    compile_seconds=sum(block.compile_seconds for block in alone),
    paper_seconds=printed,
    paper_over_one=printed and printed / one,
    paper_over_amortised=printed and printed / amortised,
    device_kind=jax.devices()[0].device_kind,
    devices=jax.device_count(),
    seed=cell.seed,
  )


def format_runtimes(runtimes: Sequence[Runtime]) -> str:
  """The times as aligned text: seconds, and the paper's times relative to these."""
  header = ('set', 'size', 'steps', 'one [fastest, slowest]', 'in a batch', 'compiling')
  rows = [(*header, 'paper', 'paper / one', 'paper / batch'), *map(_format, runtimes)]
  return aligned(rows)


def draw_runtimes(runtimes: Sequence[Runtime]) -> Figure:
  """Seconds against data size: a panel for each target, a colour for each number of iterations.

  A candidate alone has a bar from the fastest to the slowest. Times that the paper does
  not print are left out.
  """
  targets = list(dict.fromkeys(row.target for row in runtimes))
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(1 + 4 * len(targets), 4.4), layout='constrained')
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False).ravel()
    for axes, target in zip(panels, targets, strict=True):
      _draw_panel(axes, [row for row in runtimes if row.target == target])
      axes.set_title(f'attack on the {target} set')
    panels[0].set(ylabel='seconds', yscale='log')
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    named = panels[0].get_legend_handles_labels()
    figure.legend(*named, loc='outside lower center', ncols=2 * len(targets), frameon=False)
  return figure


def _play_alone(cell: Cell, setting: Setting, pool: Pool, *, count: int) -> list[Block]:
  """Plays candidates one after another, each alone on the first device."""
  mesh, key = trials_mesh(devices=1), stream_key(cell.seed, Stream.REPORTED)
  alone = dataclasses.replace(setting, chunk=1)
  pool, alone = jax.device_put((pool, alone), NamedSharding(mesh, P()))
  indices = [jnp.arange(index, index + 1) for index in range(count)]
  return [play_block(key, pool, alone, at, mesh, compiled=compile_once) for at in indices]


def _format(row: Runtime) -> tuple[str, ...]:
  """A line of that text."""
  alone = f'{row.seconds_one:.3g} [{row.seconds_one_low:.3g}, {row.seconds_one_high:.3g}]'
  sizes = (row.target, str(row.data_size), str(row.iterations))
  seconds = (f'{row.seconds_amortised:.3g}', f'{row.compile_seconds:.3g}')
  of_paper = (row.paper_seconds, row.paper_over_one, row.paper_over_amortised)
  return (*sizes, alone, *seconds, *('-' if x is None else f'{x:.3g}' for x in of_paper))


def _draw_panel(axes: Axes, runtimes: Sequence[Runtime]) -> None:
  """Draws the times of one target."""
  rows = sorted(runtimes, key=lambda row: (row.iterations, row.data_size))
  groups = itertools.groupby(rows, key=lambda row: row.iterations)
  for color, (iterations, group) in zip(itertools.cycle(COLOURS), groups, strict=False):
    _draw_line(axes, list(group), color, f'{iterations} iterations')
  for name, (_, look) in _LOOKS.items():
    axes.plot([], [], color='black', label=name, **look)
  axes.set_xlabel('data size: ways x shots')
  axes.set_xticks(sorted({row.data_size for row in rows}))


def _draw_line(axes: Axes, rows: Sequence[Runtime], color: str, label: str) -> None:
  """Draws the times of one number of iterations."""
  sizes = [row.data_size for row in rows]
  axes.plot([], [], color=color, label=label, linewidth=4)
  for field, look in _LOOKS.values():
    axes.plot(sizes, [getattr(row, field) or np.nan for row in rows], color=color, **look)
  ends = ([row.seconds_one_low for row in rows], [row.seconds_one_high for row in rows])
  axes.vlines(sizes, *ends, color=color)
