"""Times of sweeps of growing size, on one and on more cores: measured, saved and drawn."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.process import subprocesses
from experiments.process.progress_bars import bar
from experiments.store import records
from mamljax import atomic
from mamljax.errors import InputError

# An attack in closed form on small images, so that 10^5 trials can be measured.
CELL = ('--datasets=mnist_sample', '--image_size=14', '--networks=mlp', '--attacks=row_space')
FEW = 100  # trials of a cell in sweeps of many cells


class Point(NamedTuple):
  """A sweep that was measured.

  Attributes:
    devices: number of devices.
    cells: number of cells.
    trials: number of trials of each cell.
    wall_seconds: time from start to end, with imports and compilation.
    trial_seconds: time of the trials alone.
    compile_seconds: time of compilation, or of reading compiled programs from the cache.
  """

  devices: int
  cells: int
  trials: int
  wall_seconds: float
  trial_seconds: float
  compile_seconds: float


def measure_all(folder: Path, sizes: Sequence[tuple[int, int, int]]) -> list[Point]:
  """Measures sweeps of these sizes, each given as devices, cells, trials.

  A point is saved in growth.csv as soon as it is measured, and is not measured again.
  """
  measured = {point[:3]: point for point in _read(folder / 'growth.csv')}
  for size in bar([size for size in sizes if size not in measured], unit='sweep'):
    measured[size] = measure(folder / 'measured', *size)
    atomic.write_text(folder / 'growth.csv', table(sorted(measured.values())))
  return [measured[size] for size in sizes]


def _read(path: Path) -> list[Point]:
  """Reads the points measured before; none if there is no such file."""
  try:
    lines = csv.DictReader(path.read_text(encoding='utf-8').splitlines(), strict=True)
    numbers = [{name: json.loads(text) for name, text in line.items()} for line in lines]
    return [records.fit(line, Point) for line in numbers]
  except FileNotFoundError:
    return []
  except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
    raise InputError(f'{path} is not a table written by mamljax: {error}') from error


def table(points: Sequence[Point]) -> str:
  """The points as CSV."""
  return csv_text(Point._fields, [point._asdict() for point in points])


def measure(out: Path, devices: int, cells: int, trials: int) -> Point:
  """Measures a sweep of this size from start to end, on as many cores as devices."""
  shutil.rmtree(out, ignore_errors=True)  # else an interrupted sweep would be resumed
  rates = ','.join(f'{0.1 * (1 + cell) / cells:.6f}' for cell in range(cells))
  flags = [*CELL, f'--inner_learning_rates={rates}', f'--trials={trials}']
  start = time.perf_counter()
  with _bound(devices):
    subprocess.run(
      subprocesses.command('sweep', [*flags, f'--output_dir={out}']),
      env=subprocesses.environment() | subprocesses.with_devices(devices),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      check=True,
    )
  seconds = time.perf_counter() - start
  paths = sorted((out / 'cells').glob('*.json'))
  timings = [json.loads(path.read_bytes())['timings'] for path in paths]
  shutil.rmtree(out)
  per_trial = sum(timing['seconds_per_trial'] for timing in timings)
  compiling = sum(timing['compile_seconds'] for timing in timings)
  measured = seconds, per_trial * trials, compiling
  return Point(devices, len(paths), trials, *(round(value, 4) for value in measured))


@contextlib.contextmanager
def _bound(devices: int) -> Iterator[None]:
  """Binds processes started within to as many cores as devices, where the system can."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  cores = os.sched_getaffinity(0)
  os.sched_setaffinity(0, sorted(cores)[:devices])  # a process inherits its parent's
  try:
    yield
  finally:
    os.sched_setaffinity(0, cores)


def draw(points: Sequence[Point], tasks: Sequence[dict[str, Any]]) -> Figure:
  """Time against trials and against cells, and the use of tasks against their number."""
  with mpl.rc_context(figures.STYLE):
    figure = Figure(figsize=(10, 3.2), layout='constrained')
    trials, cells, simulated = figure.subplots(1, 3)
    _draw_time(trials, [p for p in points if p.cells == 1], 'trials', 'one cell')
    many = [p for p in points if p.trials == FEW]
    _draw_time(cells, many, 'cells', f'cells of {FEW} trials')
    numbers = [row['tasks'] for row in tasks]
    for name, colour in zip(('efficiency', 'server_busy'), figures.COLOURS, strict=False):
      label = {
        'efficiency': 'work done by a task in its time',
        'server_busy': 'file server busy',
      }[name]
      shares = [row[name] for row in tasks]
      simulated.plot(numbers, shares, marker='o', color=colour, label=label)
    simulated.set(xscale='log', ylim=(0, 1.05), xlabel='tasks', ylabel='share')
    simulated.set_xticks(numbers, [str(number) for number in numbers], fontsize=7)
    simulated.set_title(f'{tasks[0]["cells"]:,} cells, simulated' if tasks else '', fontsize=9)
    simulated.legend(fontsize=7)
  return figure


def _draw_time(axes: Any, points: Sequence[Point], along: str, title: str) -> None:
  """Draws seconds of whole sweeps (lines) and of their trials alone (dashed), by devices."""
  for devices, colour in zip(
    sorted({point.devices for point in points}), figures.COLOURS, strict=False
  ):
    group = [point for point in points if point.devices == devices]
    cores = f'{devices} core' + 's' * (devices > 1)
    whole, alone = [p.wall_seconds for p in group], [p.trial_seconds for p in group]
    xs = [getattr(point, along) for point in group]
    axes.plot(xs, whole, marker='o', color=colour, label=f'{cores}, start to end')
    axes.plot(xs, alone, '--', marker='.', color=colour, label=f'{cores}, trials alone')
  sizes = sorted({getattr(point, along) for point in points})
  axes.set(xscale='log', yscale='log', xlabel=along, ylabel='seconds')
  axes.set_xticks(sizes, [f'{size:,}' for size in sizes])
  axes.minorticks_off()
  axes.set_title(title, fontsize=9)
  if points:
    axes.legend(fontsize=7)
