"""Queue of the cells that a task may take: neither finished, failed too often nor claimed.

Each task has a share of the cells, which is the same at any time and in any grid. It computes
its share, the longest cells first, and then helps with the shares of the other tasks.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.config.cell import Cell
from experiments.process import distributed
from experiments.store import failures
from experiments.store.cells import cell_hash, finished, is_finished
from experiments.store.leases import Claims
from experiments.sweeping import cost

LIST_SECONDS = 300.0  # between two listings of the finished cells


def in_share(cell: Cell, *, shard: int, num_shards: int) -> bool:
  """Tests whether a cell is in the share of a task, which depends on the cell's hash alone."""
  return int(cell_hash(cell), 16) % num_shards == shard


def in_order(
  cells: Iterable[Cell], costs: cost.Costs, *, shard: int, num_shards: int
) -> list[Cell]:
  """The cells in the order of a task: its own share, then the next, each longest cell first.

  Tasks that have finished their share thus help different tasks, and rarely claim the same
  cell.
  """
  expected = {cell: costs.expect(cell).seconds for cell in cells}
  distance = {cell: (int(cell_hash(cell), 16) - shard) % num_shards for cell in expected}
  return sorted(expected, key=lambda cell: (distance[cell], -expected[cell]))


class Queue:
  """The unfinished cells, in the order of this task.

  Attributes:
    left: the cells by hash that this task has not taken, as far as it knows them unfinished.
  """

  def __init__(
    self, cells: Sequence[Cell], *, store_dir: Path, claims: Claims, max_failures: int
  ):
    self.left = {cell_hash(cell): cell for cell in cells}
    self._store_dir, self._max_failures = store_dir, max_failures
    self._claims = claims
    self._listed = time.monotonic()

  def take(self) -> Cell | None:
    """Claims and returns the next cell; None if no cell is free.

    If several processes compute together, the first one decides.
    """
    name = self._claim() if distributed.is_first() else None
    message = distributed.from_first(json.dumps(name).encode())
    name = json.loads(message or b'null')
    return None if name is None else self.left.pop(name)

  def _claim(self) -> str | None:
    """Claims the next free cell and returns its hash; None if no cell is free."""
    self._drop_finished()
    for name in list(self.left):
      is_claimed = not self._is_over(name) and self._claims.take(name)
      is_over = self._is_over(name)  # once more: it may have been finished before the claim
      if is_claimed and not is_over:
        return name
      if is_claimed:
        self._claims.release(name)
      if is_over:
        del self.left[name]
    return None

  def _drop_finished(self) -> None:
    """Drops finished cells by a listing of the folder every few minutes.

    One listing is cheaper than a look for each cell that other tasks have finished.
    """
    if time.monotonic() - self._listed < LIST_SECONDS:
      return
    self._listed = time.monotonic()
    for name in finished(self._store_dir) & set(self.left):
      del self.left[name]

  def _is_over(self, name: str) -> bool:
    """Tests whether a cell is finished, or failed too often to be tried again."""
    if is_finished(self._store_dir, name):
      return True
    failure = failures.find(self._store_dir, name)
    return failure is not None and failure.times >= self._max_failures
