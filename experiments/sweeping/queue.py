"""Which cell is next: not finished, not left alone after failures, and claimed by nobody else.

Each task has a share of the cells, the same at any time and in any grid, and takes it longest
first; then it helps with the shares of the others.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.config.cell import Cell
from experiments.process import distributed
from experiments.store import failures
from experiments.store.cells import cell_hash, finished, is_finished
from experiments.store.leases import Claims
from experiments.sweeping import cost

LIST_SECONDS = 300.0  # between two listings of what is finished


def in_share(cell: Cell, *, shard: int, num_shards: int) -> bool:
  """Whether a cell is in the share of a task: a matter of the cell's hash alone."""
  return int(cell_hash(cell), 16) % num_shards == shard


def in_order(
  cells: Iterable[Cell], costs: cost.Costs, *, shard: int, num_shards: int
) -> list[Cell]:
  """The cells as a task takes them: its share, then the next one's and so on, longest first.

  Tasks that have done their share thus help different ones, and rarely meet.
  """
  expected = {cell: costs.expect(cell).seconds for cell in cells}
  away = {cell: (int(cell_hash(cell), 16) - shard) % num_shards for cell in expected}
  return sorted(expected, key=lambda cell: (away[cell], -expected[cell]))


class Queue:
  """The cells that are left to do, as this task takes them."""

  def __init__(
    self, cells: Sequence[Cell], *, store_dir: Path, claims: Claims | None, max_failures: int
  ):
    self.left = {cell_hash(cell): cell for cell in cells}
    self._store_dir, self._max_failures = store_dir, max_failures
    self._claims: Any = claims
    self._listed = time.monotonic()

  def take(self) -> Cell | None:
    """The next cell, claimed; None if there is none that is free.

    Of several processes that compute together the first decides.
    """
    name = self._claim() if self._claims else None
    told = distributed.from_first(json.dumps(name).encode())
    name = json.loads(told or b'null')
    return None if name is None else self.left.pop(name)

  def _claim(self) -> str | None:
    """The hash of the next cell that is free, if there is one."""
    self._drop_finished()
    for name in list(self.left):
      taken = not self._is_over(name) and self._claims.take(name)
      over = self._is_over(name)  # also if it was finished between the first look and the claim
      if taken and not over:
        return name
      if taken:
        self._claims.release(name)
      if over:
        del self.left[name]
    return None

  def _drop_finished(self) -> None:
    """Now and then one listing of the folder, instead of a look for each cell of the others."""
    if time.monotonic() - self._listed < LIST_SECONDS:
      return
    self._listed = time.monotonic()
    for name in finished(self._store_dir) & set(self.left):
      del self.left[name]

  def _is_over(self, name: str) -> bool:
    """Whether nothing is to be done for it: it is finished, or failed too often."""
    if is_finished(self._store_dir, name):
      return True
    failure = failures.find(self._store_dir, name)
    return failure is not None and failure.times >= self._max_failures
