"""A simulation of many tasks that share a sweep: the order of cells, claims, the file server.

The tasks take cells in the order of `experiments.sweeping.queue`. The file server executes
operations one after the other, in a fixed time each, so a task that takes a cell waits for the
operations before its own.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# File operations: a look for a result, a claim taken and released, a claim of another task met.
LOOK, CLAIM, MEET = 2, 11, 4
KEEP = 12  # operations that write a result: temporary files, syncs, renames, deletions
BEATS_PER_SECOND = 4 * 4 / 120  # heartbeats of a claim, in operations: check of owner, touch


class Outcome(NamedTuple):
  """The outcome of a simulated sweep.

  Attributes:
    makespan: seconds until the last cell was finished.
    ideal: lower bound on the makespan: evenly divided work, or the longest cell.
    operations: number of file operations, with heartbeats.
    busy: share of the time in which the file server was busy.
  """

  makespan: float
  ideal: float
  operations: int
  busy: float


def durations(cells: int, *, mean: float, spread: float, seed: int) -> np.ndarray:
  """Log-normal seconds [cells] with this mean; `spread` is the deviation of the logarithm."""
  logarithms = np.random.default_rng(seed).normal(-(spread**2) / 2, spread, cells)
  return mean * np.exp(logarithms)


def simulate(
  seconds: Sequence[float] | np.ndarray, tasks: int, *, start: float, operation: float
) -> Outcome:
  """Simulates a sweep.

  Args:
    seconds: time that each cell takes; a cell is in the share of task `index % tasks`.
    tasks: number of tasks.
    start: seconds until a task begins, for imports, data and the first compilation.
    operation: seconds that the server needs for a file operation.
  """
  order = np.argsort(-np.asarray(seconds), kind='stable')
  shares = [[i for i in order if i % tasks == task] for task in range(tasks)]
  taken, current = [0] * tasks, list(range(tasks))  # cells of a share, share of a task
  ready = [(start, task) for task in range(tasks)]
  heapq.heapify(ready)
  free_at, end, operations = 0.0, start, 0  # of the server; of the sweep
  open_shares = sum(map(bool, shares))
  while ready:
    now, task = heapq.heappop(ready)
    needed = LOOK
    while open_shares and taken[current[task]] >= len(shares[current[task]]):
      current[task] = (current[task] + 1) % tasks
      needed += MEET  # the last cell of that share is still being computed
    if not open_shares:
      continue
    share = current[task]
    cell = shares[share][taken[share]]
    taken[share] += 1
    open_shares -= taken[share] == len(shares[share])
    needed += CLAIM + KEEP
    operations += needed
    free_at = max(free_at, now) + needed * operation
    done = float(free_at + seconds[cell])
    end = max(end, done)
    heapq.heappush(ready, (done, task))
  operations += math.ceil(tasks * end * BEATS_PER_SECOND)
  total = float(np.sum(seconds))
  ideal = start + max(total / tasks, float(np.max(seconds)))
  busy = float(min(1.0, operations * operation / end))
  return Outcome(float(end), float(ideal), operations, busy)
