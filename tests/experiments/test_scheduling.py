"""The simulated scheduler obeys what no scheduler can break, and learns what cells cost."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.config.cell import Cell
from experiments.studies import scheduler_simulation
from experiments.sweeping import cost
from tests.experiments.configurations import make
from tests.experiments.reported import result_of


@pytest.mark.parametrize('tasks', [1, 3, 40, 700])
def test_no_schedule_beats_the_work_and_none_is_far_behind(tasks):
  """Below the ideal work would be lost; far above it tasks would idle beside work."""
  seconds = scheduler_simulation.durations(2000, mean=10, spread=1, seed=0)
  outcome = scheduler_simulation.simulate(seconds, tasks, start=1, operation=0)
  assert outcome.ideal - 1e-6 <= outcome.makespan <= outcome.ideal + seconds.max()


def test_one_task_takes_the_sum():
  """By hand."""
  outcome = scheduler_simulation.simulate([3.0, 1.0, 2.0], 1, start=5, operation=0.5)
  assert outcome.makespan == pytest.approx(5 + 6 + 3 * 25 * 0.5)


def test_a_slow_file_server_is_what_ends_the_growth():
  """Where the server is busy all the time more tasks must not help."""
  seconds = scheduler_simulation.durations(3000, mean=1, spread=0.5, seed=0)
  few, many = (
    scheduler_simulation.simulate(seconds, n, start=0, operation=0.01) for n in (100, 1000)
  )
  assert many.makespan > 0.8 * few.makespan
  assert many.busy > 0.9


def test_cells_have_the_mean_that_was_asked_for():
  """Else the simulated hours are another sweep's."""
  assert scheduler_simulation.durations(
    10**5, mean=60, spread=1, seed=0
  ).mean() == pytest.approx(60, 0.02)


def measured(cell: Cell, seconds: float, memory: float):
  """A finished cell that took this much per trial."""
  timings = {'seconds_per_trial': seconds, 'devices': 1, 'memory_bytes': memory}
  return dataclasses.replace(result_of(cell), timings=timings)


def test_costs_are_learned_from_finished_cells():
  """The longest cells go first, and --dry_run tells the time: both rest on this."""

  def truth(cell: Cell) -> float:
    return 1e-3 * cell.attack.iterations * (cell.task.ways * cell.task.shots) ** 1.5

  grid = [
    make(ways=w, shots=s, iterations=i) for w in (2, 3, 5) for s in (1, 2) for i in (9, 99)
  ]
  costs = cost.fit(measured(cell, truth(cell), 1e9) for cell in grid)
  for cell in (make(ways=4, shots=2, iterations=50), make(ways=7, iterations=200)):
    expected = costs.expect(cell)
    trials = cell.game.trials + cell.game.calibration_trials
    assert abs(math.log(expected.seconds / (truth(cell) * trials))) < math.log(1.3)
    assert 0.5e9 < expected.memory < 2e9


def test_without_finished_cells_longer_ones_still_go_first():
  """The assumption must at least rank."""
  costs = cost.fit([])
  told = [costs.expect(make(iterations=n)).seconds for n in (10, 100, 1000)]
  assert np.all(np.diff(told) > 0)
