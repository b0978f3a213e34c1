"""How long sweeps of growing size take, on one and on more cores: measured, kept and drawn."""

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

# Small enough to measure 10^5 trials, of an attack that looks at an image once.
CELL = ('--datasets=mnist_sample', '--image_size=14', '--networks=mlp', '--attacks=row_space')
FEW = 100  # trials of each of many cells


class Point(NamedTuple):
  """A sweep that was measured.

  Attributes:
    devices, cells, trials: its size; trials are those of each cell.
    wall_seconds: from start to end, importing and compiling included.
    trial_seconds: of its trials alone.
    compile_seconds: of compiling, or of reading what was compiled before.
  """

  devices: int
  cells: int
  trials: int
  wall_seconds: float
  trial_seconds: float
  compile_seconds: float


def measure_all(folder: Path, sizes: Sequence[tuple[int, int, int]]) -> list[Point]:
  """The points of these sizes: devices, cells, trials.

  Each is kept in growth.csv as soon as it is measured, and not measured again.
  """
  known = {point[:3]: point for point in _read(folder / 'growth.csv')}
  for size in bar([size for size in sizes if size not in known], unit='sweep'):
    known[size] = measure(folder / 'measured', *size)
    atomic.write_text(folder / 'growth.csv', table(sorted(known.values())))
  return [known[size] for size in sizes]


def _read(path: Path) -> list[Point]:
  """What was measured before."""
  try:
    lines = csv.DictReader(path.read_text(encoding='utf-8').splitlines(), strict=True)
    numbers = [{name: json.loads(text) for name, text in line.items()} for line in lines]
    return [records.fit(line, Point) for line in numbers]
  except FileNotFoundError:
    return []
  except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
    raise InputError(f'{path} is no table of ours: {error}') from error


def table(points: Sequence[Point]) -> str:
  """The points as CSV."""
  return csv_text(Point._fields, [point._asdict() for point in points])


def measure(out: Path, devices: int, cells: int, trials: int) -> Point:
  """What a sweep of this size takes from start to end, on as many cores as devices."""
  shutil.rmtree(out, ignore_errors=True)  # what was interrupted would be resumed
  rates = ','.join(f'{0.1 * (1 + cell) / cells:.6f}' for cell in range(cells))
  typed = [*CELL, f'--inner_learning_rates={rates}', f'--trials={trials}']
  told = {'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}
  begun = time.perf_counter()
  with _bound(devices):
    subprocess.run(
      subprocesses.command('sweep', [*typed, f'--output_dir={out}']),
      env=subprocesses.environment() | told,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      check=True,
    )
  seconds = time.perf_counter() - begun
  paths = sorted((out / 'cells').glob('*.json'))
  timings = [json.loads(path.read_bytes())['timings'] for path in paths]
  shutil.rmtree(out)
  per_trial = sum(timing['seconds_per_trial'] for timing in timings)
  compiling = sum(timing['compile_seconds'] for timing in timings)
  measured = seconds, per_trial * trials, compiling
  return Point(devices, len(paths), trials, *(round(value, 4) for value in measured))


@contextlib.contextmanager
def _bound(devices: int) -> Iterator[None]:
  """Keeps what is started within to as many cores as it has devices, where the system can."""
  if not hasattr(os, 'sched_setaffinity'):
    yield
    return
  cores = os.sched_getaffinity(0)
  os.sched_setaffinity(0, sorted(cores)[:devices])  # a process starts with its parent's
  try:
    yield
  finally:
    os.sched_setaffinity(0, cores)


def draw(points: Sequence[Point], tasks: Sequence[dict[str, Any]]) -> Figure:
  """Time against trials and against cells; what is used of the tasks against their number."""
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
  """Seconds of whole sweeps (lines) and of their trials alone (dashed), by devices."""
  for devices, colour in zip(
    sorted({point.devices for point in points}), figures.COLOURS, strict=False
  ):
    of = [point for point in points if point.devices == devices]
    cores = f'{devices} core' + 's' * (devices > 1)
    whole, alone = [p.wall_seconds for p in of], [p.trial_seconds for p in of]
    xs = [getattr(point, along) for point in of]
    axes.plot(xs, whole, marker='o', color=colour, label=f'{cores}, start to end')
    axes.plot(xs, alone, '--', marker='.', color=colour, label=f'{cores}, trials alone')
  sizes = sorted({getattr(point, along) for point in points})
  axes.set(xscale='log', yscale='log', xlabel=along, ylabel='seconds')
  axes.set_xticks(sizes, [f'{size:,}' for size in sizes])
  axes.minorticks_off()
  axes.set_title(title, fontsize=9)
  if points:
    axes.legend(fontsize=7)
