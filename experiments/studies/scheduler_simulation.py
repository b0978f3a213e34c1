"""What many tasks would do to each other, simulated: the order, the claims, the file system.

The tasks take cells as `experiments.sweeping.queue` does. A file operation takes the file
server a fixed time, one after the other, so that a task that takes a cell waits for those
before it.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOOK, CLAIM, MEET = 2, 11, 4  # operations: a look, taking and giving back, meeting a claim
KEEP = 12  # writing a result: temporary files, syncs and renames; deleting what is not needed
BEATS_PER_SECOND = 4 * 4 / 120  # each is a look at who holds it, and a touch


class Outcome(NamedTuple):
  """How a sweep went.

  Attributes:
    makespan: seconds until the last cell was finished.
    ideal: the least that it can be: the work shared out evenly, or the longest cell.
    operations: on files, signs of life included.
    busy: the share of the time in which the file server was at work.
  """

  makespan: float
  ideal: float
  operations: int
  busy: float


def durations(cells: int, *, mean: float, spread: float, seed: int) -> np.ndarray:
  """Log-normal seconds of cells [cells] of this mean; `spread` is that of the logarithm."""
  drawn = np.random.default_rng(seed).normal(-(spread**2) / 2, spread, cells)
  return mean * np.exp(drawn)


def simulate(
  seconds: Sequence[float] | np.ndarray, tasks: int, *, start: float, operation: float
) -> Outcome:
  """Plays a sweep.

  Args:
    seconds: what each cell takes; its share is its index modulo `tasks`.
    tasks: how many share them.
    start: seconds until a task begins: importing, reading data, the first compilation.
    operation: seconds that a file operation takes the server.
  """
  order = np.argsort(-np.asarray(seconds), kind='stable')
  shares = [[i for i in order if i % tasks == task] for task in range(tasks)]
  at, looking_at = [0] * tasks, list(range(tasks))
  ready = [(start, task) for task in range(tasks)]
  heapq.heapify(ready)
  server, end, operations = 0.0, start, 0
  open_shares = sum(map(bool, shares))
  while ready:
    now, task = heapq.heappop(ready)
    needed = LOOK
    while open_shares and at[looking_at[task]] >= len(shares[looking_at[task]]):
      looking_at[task] = (looking_at[task] + 1) % tasks
      needed += MEET  # the last cell of that share is still being computed
    if not open_shares:
      continue
    share = looking_at[task]
    cell = shares[share][at[share]]
    at[share] += 1
    open_shares -= at[share] == len(shares[share])
    needed += CLAIM + KEEP
    operations += needed
    server = max(server, now) + needed * operation
    done = float(server + seconds[cell])
    end = max(end, done)
    heapq.heappush(ready, (done, task))
  operations += math.ceil(tasks * end * BEATS_PER_SECOND)
  total = float(np.sum(seconds))
  ideal = start + max(total / tasks, float(np.max(seconds)))
  busy = float(min(1.0, operations * operation / end))
  return Outcome(float(end), float(ideal), operations, busy)
