"""The study of scaling: measured sweeps and simulated tasks, written and drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.store import runs
from experiments.store.cells import check_output_dir
from experiments.studies import scheduler_simulation, sweep_times
from mamljax import atomic

START_SECONDS = 20.0  # until a simulated task begins
SPREAD = 1.0  # standard deviation of the logarithm of a simulated cell's time


def run_study(
  folder: Path,
  *,
  sizes: Sequence[tuple[int, int, int]],
  tasks: Sequence[int],
  cells: int,
  cell_seconds: float,
  operation: float,
  seed: int,
) -> str:
  """Measures and simulates; FOLDER gets growth.csv, tasks.csv and scaling.png.

  Args:
    folder: where they are written; points that it holds are not measured again.
    sizes: devices, cells and trials of each sweep to measure.
    tasks: numbers of tasks to simulate.
    cells: number of simulated cells.
    cell_seconds: mean time of a simulated cell.
    operation: time of a simulated file operation, in seconds.
    seed: of the simulated cells.

  Returns:
    The two tables, as printed.
  """
  check_output_dir(folder)
  runs.begin(folder, 'tasks.csv')
  points = sweep_times.measure_all(folder, sizes)
  seconds = scheduler_simulation.durations(cells, mean=cell_seconds, spread=SPREAD, seed=seed)
  simulated = [_simulate(seconds, count, operation) for count in tasks]
  text = csv_text(simulated[0] if simulated else [], simulated)
  atomic.write_text(folder / 'tasks.csv', text)
  figures.save(sweep_times.draw(points, simulated), folder / 'scaling.png')
  runs.write_run(folder)
  return f'{sweep_times.table(points)}\n{text}'


def _simulate(seconds: np.ndarray, tasks: int, operation: float) -> dict[str, Any]:
  """A row of the table: the simulated sweep with this many tasks."""
  costs = {'start': START_SECONDS, 'operation': operation}
  outcome = scheduler_simulation.simulate(seconds, tasks, **costs)
  return {
    'tasks': tasks,
    'cells': len(seconds),
    'hours': round(outcome.makespan / 3600, 3),
    'efficiency': round(float(np.sum(seconds)) / tasks / outcome.makespan, 4),
    'ideal_efficiency': round(float(np.sum(seconds)) / tasks / outcome.ideal, 4),
    'file_operations': outcome.operations,
    'server_busy': round(outcome.busy, 4),
  }
