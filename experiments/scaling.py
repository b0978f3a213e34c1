"""Scaling of sweeps: `python -m experiments.scaling --flagfile=...`.

Measures the time of a closed-form sweep against the trials of a cell and against its cells, on
one and on more cores of this machine, and simulates the scheduler for 8 to 1,024 tasks and 10^5
cells. Writes OUT/growth.csv, OUT/tasks.csv and OUT/scaling.png. Measured points are saved, and
the same command continues from there.
"""

from collections.abc import Sequence

from absl import flags

from experiments.config.grid import MOST_CELLS
from experiments.config.sections import Game
from experiments.process import arguments, bounds, cli
from experiments.process.bounds import LONGEST, SEED, Bounds
from experiments.studies.scaling import run_study
from experiments.studies.sweep_times import FEW

_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out/scaling', 'folder to which the tables are written'
)
_TRIALS = flags.DEFINE_list(
  'trials', ['100', '1000', '10000', '100000'], 'numbers of trials of one cell'
)
_CELLS = flags.DEFINE_list('cells', ['1', '10', '100'], 'numbers of cells of 100 trials each')
_DEVICES = flags.DEFINE_list('devices', ['1', '2'], 'numbers of CPU cores; none: only simulate')
_TASKS = flags.DEFINE_list(
  'tasks', ['8', '32', '128', '512', '1024'], 'numbers of tasks to simulate'
)
_SIMULATED = bounds.integer(
  'simulated_cells', 100_000, Bounds(1, 10_000_000, 'cells'), 'number of cells to simulate'
)
_CELL_SECONDS = bounds.real(
  'cell_seconds',
  60.0,
  Bounds(0, LONGEST, 'seconds'),
  'mean time of a simulated cell, in seconds',
)
_OPERATION = bounds.real(
  'operation',
  3e-4,
  Bounds(0, LONGEST, 'seconds'),
  'time of a simulated file operation, in seconds',
)
_SEED = bounds.integer('seed', 0, SEED, 'seed of the simulated cells')


def main(argv: Sequence[str]) -> None:
  """Measures sweeps, simulates the scheduler, and prints the times."""
  del argv
  sizes, counts = _read_sizes(), bounds.whole_numbers(_TASKS, Bounds(1, 100_000, 'tasks'))
  tables = run_study(
    arguments.folder('output_dir', _OUTPUT_DIR.value),
    sizes=sizes,
    tasks=counts,
    cells=_SIMULATED.value,
    cell_seconds=_CELL_SECONDS.value,
    operation=_OPERATION.value,
    seed=_SEED.value,
  )
  print(tables)


def _read_sizes() -> list[tuple[int, int, int]]:
  """The sizes to measure, small ones first, each given as devices, cells, trials."""
  trials = bounds.whole_numbers(_TRIALS, bounds.of(Game)['trials'])
  cells = bounds.whole_numbers(_CELLS, Bounds(1, MOST_CELLS, 'cells'))
  sizes = [*((1, count) for count in trials), *((count, FEW) for count in cells)]
  devices = bounds.whole_numbers(_DEVICES, Bounds(1, 1024, 'cores'))
  return [(count, *size) for size in sorted({*sizes}) for count in devices]


if __name__ == '__main__':
  cli.run(main, resumes=True)
