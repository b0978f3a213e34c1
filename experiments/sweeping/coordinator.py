"""Coordinates a sweep: loads finished cells, computes the rest, writes the table."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

from experiments.analysis import results_csv
from experiments.config.cell import Cell
from experiments.config.sharing import Operation
from experiments.config.sweep import Sweep
from experiments.process import distributed
from experiments.store import cells as cell_files
from experiments.store import failures, trials
from experiments.store.leases import Claims, Lost, NoClaims
from experiments.sweeping import cost, folders, plan
from experiments.sweeping.queue import Queue, in_order, in_share
from experiments.sweeping.worker import Worker
from mamljax import atomic
from mamljax.errors import InputError

TABLE = 'table'  # the claim of the task that writes the tables
FOLDERS = ('cells', 'examples', 'progress', 'failures', 'claims')
PAUSE_FACTOR = 50.0  # pause between two writings of the table, as a multiple of their time
LAST_SECONDS = 5.0  # for which a task that ends early waits for its turn to write the table


class Coordinator:
  """One task's part in a sweep: its share of the cells, and its turns to write the table.

  Attributes:
    summaries: the results by cell that this task has read or computed, without their trials,
      so that the memory grows with the number of cells alone.
  """

  def __init__(self, sweep: Sweep, operation: Operation):
    self.sweep, self.operation = sweep, operation
    self.summaries: dict[Cell, cell_files.Summary] = {}
    self._due = time.monotonic() + operation.save_seconds
    lease = operation.lease_seconds
    is_first = distributed.is_first()
    self._claims = Claims(sweep.store_dir, lease=lease) if is_first else NoClaims()

  def compute(self) -> None:
    """Computes the cells that are neither finished nor claimed by another task.

    Raises:
      Interrupted: if the process was asked to stop; the table has all finished cells.
    """
    with self._claims as claims, self._published():
      if distributed.is_first():
        self._prepare(claims)
      self._work(claims)

  def conclude(self, write: Callable[[list[cell_files.Summary]], Any]) -> None:
    """Writes the table of all finished cells, and calls `write` with their results.

    No other task writes into the folder of the sweep meanwhile, so that the last task to end
    has read the results of all tasks. A task that is suspended for longer than its lease, so
    that another takes over, reads everything again.
    """
    with self._claims as claims:
      while not self._concluded(claims, write):
        logging.warning('another task took the table while this one stood still: once more')

  def _concluded(
    self, claims: Claims, write: Callable[[list[cell_files.Summary]], Any]
  ) -> bool:
    """Writes the table once; false if another task took over the right to write it."""
    with contextlib.suppress(Lost), self._writing(claims):
      self._read(self.sweep.cells)
      folders.check_own(self.sweep.output_dir, self.sweep.cells)
      if self.summaries:
        results_csv.write_csv(self.sweep.output_dir, self._ordered(), cells=self.sweep.cells)
      write(self._ordered())
      return True
    return False

  @contextlib.contextmanager
  def _writing(self, claims: Claims) -> Iterator[None]:
    """Context in which this task alone writes into the folder of the sweep."""
    with claims.alone(TABLE), self._fence():
      yield

  def _fence(self) -> contextlib.AbstractContextManager[None]:
    """Context that stops this task from replacing files once another task has taken over."""
    return atomic.fenced(functools.partial(self._claims.check, TABLE))

  def explain(self) -> None:
    """Reports the cells that have no result.

    Raises:
      InputError: if cells failed and all others are finished. While others are at work this
        task ends well, since a scheduler might end them because of a failed one.
    """
    store = self.sweep.store_dir
    missing = [cell for cell in self.sweep.cells if cell not in self.summaries]
    hashes = [cell_files.cell_hash(cell) for cell in missing]
    failed = [name for name in hashes if failures.find(store, name)]
    for name in failed:
      failure = failures.find(store, name)
      if failure and failure.times >= self.operation.max_failures:
        logging.warning(
          '%s failed %d times and is left alone (%s): --max_failures=%d tries it again',
          *(failure.cell, failure.times, failure.reason, failure.times + 1),
        )
    if unfinished := len(missing) - len(failed):
      print(f'{unfinished} cells are left to other tasks: the last of them completes the table')
    elif failed:
      raise InputError(f'{len(failed)} cells have no result, as warned above')

  def _prepare(self, claims: Claims) -> None:
    """Reads the finished cells in the share of this task, and writes the plan."""
    store, share = self.sweep.store_dir, self.operation.share
    for name in FOLDERS:
      atomic.remove_leftovers(store / name)
    finished = cell_files.finished(store)
    cells = [cell for cell in self.sweep.cells if in_share(cell, **share)]
    self._read([cell for cell in cells if cell_files.cell_hash(cell) in finished])
    for cell in self.summaries:
      trials.forget_trials(store, cell_files.cell_hash(cell))
    costs = cost.fit(self.summaries.values())
    if folders.is_replaced(self.sweep.output_dir, self.sweep.cells):
      with self._writing(claims):
        folders.keep_replaced(self.sweep.output_dir, self.sweep.cells)
    plan.write(self.sweep.output_dir, store, self.sweep.cells, costs)

  def _work(self, claims: Claims) -> None:
    """Computes cells until none is free."""
    cells = [cell for cell in self.sweep.cells if cell not in self.summaries]
    ordered = in_order(cells, cost.fit(self.summaries.values()), **self.operation.share)
    hashes = '\n'.join(cell_files.cell_hash(cell) for cell in ordered)
    hashes = (distributed.from_first(hashes.encode()) or b'').decode()
    by_hash = {cell_files.cell_hash(cell): cell for cell in self.sweep.cells}
    queue = Queue(
      [by_hash[name] for name in hashes.split()],
      store_dir=self.sweep.store_dir,
      claims=claims,
      max_failures=self.operation.max_failures,
    )
    Worker(self.sweep, self.operation, self._add).work(queue, claims)

  def _add(self, cell: Cell, result: cell_files.CellResult) -> None:
    """Adds a result, and to the table as well when the next writing is due."""
    self.summaries[cell] = result.summary()
    start = time.monotonic()
    if start >= self._due:
      self._publish()
      end = time.monotonic()
      self._due = end + max(self.operation.save_seconds, PAUSE_FACTOR * (end - start))

  @contextlib.contextmanager
  def _published(self) -> Iterator[None]:
    """Context that adds finished cells to the table if an exception ends the work."""
    try:
      yield
    except BaseException:
      if distributed.is_first():
        self._publish_last()
      raise

  def _publish_last(self) -> None:
    """Adds the results to the table before this task ends, waiting briefly for its turn."""
    deadline = time.monotonic() + LAST_SECONDS
    try:
      while not self._publish() and time.monotonic() < deadline:
        time.sleep(0.1)
    except InputError as error:  # perhaps the same error that ended this task
      logging.warning('the table is not up to date: %s', error)

  def _publish(self) -> bool:
    """Adds the results of this task to the table; false if another task is writing it."""
    if not self.summaries:
      return True
    if not self._claims.take(TABLE):
      return False
    with contextlib.suppress(Lost), self._claims.held(TABLE), self._fence():
      folders.check_own(self.sweep.output_dir, self.sweep.cells)
      results_csv.update_csv(self.sweep.output_dir, self._ordered(), self.sweep.cells)
    return True

  def _read(self, cells: list[Cell]) -> None:
    """Reads the results of cells that are not read yet; a damaged file is renamed."""
    for cell in cells:
      if cell in self.summaries:
        continue
      if result := cell_files.read_cell(self.sweep.store_dir, cell):
        self.summaries[cell] = result.summary()

  def _ordered(self) -> list[cell_files.Summary]:
    """The results that this task has, in the order of the sweep."""
    return [self.summaries[cell] for cell in self.sweep.cells if cell in self.summaries]
