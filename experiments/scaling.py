"""How a sweep grows: `python -m experiments.scaling --output_dir=out/scaling`.

Measures the time of a closed-form cell against its trials, on one and on more devices of this
machine, and simulates the scheduler for 8 to 1,024 tasks and 10^5 cells. Writes growth.csv,
tasks.csv and scaling.png.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from experiments import command, figures, scheduling
from experiments.csv_text import csv_text
from mamljax import atomic

_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out/scaling', 'where the tables go')
_TRIALS = flags.DEFINE_list('trials', ['100', '1000', '10000', '100000'], 'of the cell')
_DEVICES = flags.DEFINE_list('devices', ['1', '2'], 'CPU devices; none: only simulate')
_TASKS = flags.DEFINE_list('tasks', ['8', '32', '128', '512', '1024'], 'to simulate')
_CELLS = flags.DEFINE_integer('cells', 100_000, 'to simulate')
_CELL_SECONDS = flags.DEFINE_float('cell_seconds', 60.0, 'mean of a simulated cell')
_OPERATION = flags.DEFINE_float('operation', 3e-4, 'seconds of a file operation')
_SEED = flags.DEFINE_integer('seed', 0, 'of the simulated cells')

# Small enough to measure 10^5 trials, of an attack that looks at an image once.
CELL = ('--datasets=mnist_sample', '--networks=mlp', '--attacks=row_space', '--chunk=40')
START_SECONDS, SPREAD = 20.0, 1.0  # until a simulated task begins; of the logarithm of cells


def main(argv: Sequence[str]) -> None:
  """Measures, simulates, writes and draws."""
  del argv
  folder = Path(_OUTPUT_DIR.value).expanduser()
  growth = [
    _measure(folder, int(trials), int(devices))
    for devices in _DEVICES.value
    for trials in _TRIALS.value
  ]
  drawn = scheduling.durations(
    _CELLS.value, mean=_CELL_SECONDS.value, spread=SPREAD, seed=_SEED.value
  )
  tasks = [_simulate(drawn, int(count)) for count in _TASKS.value]
  for name, rows in (('growth', growth), ('tasks', tasks)):
    if rows:
      atomic.write_text(folder / f'{name}.csv', text := csv_text(rows[0], rows))
      print(text)
  figures.save(_draw(growth, tasks), folder / 'scaling.png')


def _measure(folder: Path, trials: int, devices: int) -> dict[str, Any]:
  """What a sweep of one cell takes from start to end, and its trials alone."""
  out = folder / f'cell_{trials}_{devices}'
  count = f'--xla_force_host_platform_device_count={devices}'
  typed = [*CELL, f'--trials={trials}', '--calibration_trials=2', f'--output_dir={out}']
  begun = time.perf_counter()
  subprocess.run(
    [sys.executable, '-m', 'experiments.sweep', *typed],
    env=os.environ | {'XLA_FLAGS': count},
    stdout=subprocess.DEVNULL,
    check=True,
  )
  seconds = time.perf_counter() - begun
  (cell,) = (json.loads(path.read_bytes()) for path in (out / 'cells').glob('*.json'))
  timings = cell['timings']
  return {
    'devices': devices,
    'trials': trials,
    'wall_seconds': round(seconds, 3),
    'trial_seconds': round(timings['seconds_per_trial'] * trials, 4),
    'compile_seconds': round(timings['compile_seconds'], 3),
  }


def _simulate(seconds: np.ndarray, tasks: int) -> dict[str, Any]:
  """How the sweep goes with this many tasks."""
  told = {'start': START_SECONDS, 'operation': _OPERATION.value}
  outcome = scheduling.simulate(seconds, tasks, **told)
  return {
    'tasks': tasks,
    'cells': len(seconds),
    'hours': round(outcome.makespan / 3600, 3),
    'efficiency': round(float(np.sum(seconds)) / tasks / outcome.makespan, 4),
    'ideal_efficiency': round(float(np.sum(seconds)) / tasks / outcome.ideal, 4),
    'file_operations': outcome.operations,
    'server_busy': round(outcome.busy, 4),
  }


def _draw(growth: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> Figure:
  """Time against trials, and what is used of the tasks against how many they are."""
  figure = Figure(figsize=(8, 3.2), layout='constrained')
  left, right = figure.subplots(1, 2)
  for devices in sorted({row['devices'] for row in growth}):
    of = [row for row in growth if row['devices'] == devices]
    for name, style in (('wall_seconds', '-'), ('trial_seconds', '--')):
      told = f'{devices} devices, {name.split("_")[0]}'
      left.plot([r['trials'] for r in of], [r[name] for r in of], style, marker='o', label=told)
  left.set(xscale='log', yscale='log', xlabel='trials of a cell', ylabel='seconds')
  if growth:
    left.legend(fontsize=7)
  for name in ('efficiency', 'server_busy'):
    right.plot([r['tasks'] for r in tasks], [r[name] for r in tasks], marker='o', label=name)
  right.set(xscale='log', ylim=(0, 1.05), xlabel='tasks (simulated)', ylabel='share')
  right.legend(fontsize=7)
  return figure


if __name__ == '__main__':
  command.run(main)
