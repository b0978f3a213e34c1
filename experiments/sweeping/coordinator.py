"""The results of a sweep as its tasks find them: what is there, what is made, who writes."""

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
from experiments.store.leases import Claims, Lost
from experiments.sweeping import cost, folders, plan
from experiments.sweeping.queue import Queue, in_order, in_share
from experiments.sweeping.worker import Worker
from mamljax import atomic
from mamljax.errors import InputError

TABLE = 'table'  # the claim of whoever writes the tables
FOLDERS = ('cells', 'examples', 'progress', 'failures', 'claims')
RARELY = 50.0  # times as long as writing the table takes, until it is written again
LAST_SECONDS = 5.0  # that a task which ends early waits for others to write the table


class Found:
  """The results of a sweep: those that are there, and those that this task computes.

  Attributes:
    kept: the results by cell, as far as this task has read or made them; without their trials,
      so that what it holds grows with the cells alone.
  """

  def __init__(self, sweep: Sweep, how: Operation):
    self.sweep, self.how = sweep, how
    self.kept: dict[Cell, cell_files.Summary] = {}
    self._claims: Any = contextlib.nullcontext()
    self._due = time.monotonic() + how.save_seconds
    if distributed.is_first():
      self._claims = Claims(sweep.store_dir, lease=how.lease_seconds)

  def compute(self) -> None:
    """Computes what is not there and nobody else computes.

    Raises:
      Interrupted: if the process was asked to stop; what is finished is in the table.
    """
    with self._claims as claims, self._shown(claims):
      if claims:
        self._prepare(claims)
      self._work(claims)

  def conclude(self, write: Callable[[list[cell_files.Summary]], Any]) -> None:
    """Writes the table of all results that are there now, and has `write` called with them.

    Nobody else writes into the folder of the sweep meanwhile: the last task to end has read
    what all of them made. One that stands still, so that another takes over, reads anew.
    """
    with self._claims as claims:
      while not self._concluded(claims, write):
        logging.warning('another task took the table while this one stood still: once more')

  def _concluded(
    self, claims: Claims, write: Callable[[list[cell_files.Summary]], Any]
  ) -> bool:
    """Whether all of it was written, and the right to write not lost before."""
    with contextlib.suppress(Lost), self._writing(claims):
      self._read(self.sweep.cells)
      folders.check_own(self.sweep.output_dir, self.sweep.cells)
      if self.kept:
        results_csv.write_csv(self.sweep.output_dir, self._found(), self.sweep.cells)
      write(self._found())
      return True
    return False

  @contextlib.contextmanager
  def _writing(self, claims: Claims) -> Iterator[None]:
    """Lets this task alone write into the folder of the sweep, and only as long as it is."""
    with claims.alone(TABLE), self._fence():
      yield

  def _fence(self) -> contextlib.AbstractContextManager[None]:
    """Keeps this task from replacing files once another has taken over."""
    return atomic.fenced(functools.partial(self._claims.check, TABLE))

  def explain(self) -> None:
    """Says which cells have no result.

    Raises:
      InputError: if cells failed and no others are left: to a scheduler it is a task that
        failed, which may be its reason to end those that are still at work.
    """
    store, missing = self.sweep.store_dir, [c for c in self.sweep.cells if c not in self.kept]
    hashes = [cell_files.cell_hash(cell) for cell in missing]
    failed = [name for name in hashes if failures.find(store, name)]
    for name in failed:
      failure = failures.find(store, name)
      if failure and failure.times >= self.how.max_failures:
        logging.warning(
          '%s failed %d times and is left alone (%s): --max_failures=%d tries it again',
          *(failure.cell, failure.times, failure.reason, failure.times + 1),
        )
    if others := len(missing) - len(failed):
      print(f'{others} cells are left to other tasks: the last of them completes the table')
    elif failed:
      raise InputError(f'{len(failed)} cells have no result, as warned above')

  def _prepare(self, claims: Claims) -> None:
    """Reads the share of this task and writes the plan."""
    store, share = self.sweep.store_dir, self.how.share
    for name in FOLDERS:
      atomic.remove_leftovers(store / name)
    there = cell_files.finished(store)
    own = [cell for cell in self.sweep.cells if in_share(cell, **share)]
    self._read([cell for cell in own if cell_files.cell_hash(cell) in there])
    for cell in self.kept:
      trials.forget_trials(store, cell_files.cell_hash(cell))
    costs = cost.fit(self.kept.values())
    if folders.is_replaced(self.sweep.output_dir, self.sweep.cells):
      with self._writing(claims):
        folders.keep_replaced(self.sweep.output_dir, self.sweep.cells)
    plan.write(self.sweep.output_dir, store, self.sweep.cells, costs)

  def _work(self, claims: Claims | None) -> None:
    """Takes cells until there is none left that is free."""
    cells = [cell for cell in self.sweep.cells if cell not in self.kept]
    ordered = in_order(cells, cost.fit(self.kept.values()), **self.how.share)
    told = [cell_files.cell_hash(cell) for cell in ordered]
    told = (distributed.from_first('\n'.join(told).encode()) or b'').decode().split()
    by_hash = {cell_files.cell_hash(cell): cell for cell in self.sweep.cells}
    queue = Queue(
      [by_hash[name] for name in told],
      store_dir=self.sweep.store_dir,
      claims=claims,
      max_failures=self.how.max_failures,
    )
    Worker(self.sweep, self.how, self._finished).work(queue, claims)

  def _finished(self, cell: Cell, result: cell_files.CellResult) -> None:
    """Takes note of a result; the table shows it soon."""
    self.kept[cell] = result.summary()
    begun = time.monotonic()
    if begun >= self._due:
      self._publish()
      took = time.monotonic() - begun
      self._due = begun + took + max(self.how.save_seconds, RARELY * took)

  @contextlib.contextmanager
  def _shown(self, claims: Claims | None) -> Iterator[None]:
    """Whatever ends it early, what is finished is in the table afterwards."""
    try:
      yield
    except BaseException:
      if claims:
        self._publish_last()
      raise

  def _publish_last(self) -> None:
    """The same for the last time, whoever writes the table now."""
    until = time.monotonic() + LAST_SECONDS
    try:
      while not self._publish() and time.monotonic() < until:
        time.sleep(0.1)
    except InputError as error:  # it may be what ended this task
      logging.warning('the table is not up to date: %s', error)

  def _publish(self) -> bool:
    """Adds what is known here to the table; whether nobody else was writing it."""
    if not self.kept:
      return True
    if not self._claims.take(TABLE):
      return False
    with contextlib.suppress(Lost), self._claims.held(TABLE), self._fence():
      folders.check_own(self.sweep.output_dir, self.sweep.cells)
      results_csv.update_csv(self.sweep.output_dir, self._found(), self.sweep.cells)
    return True

  def _read(self, cells: list[Cell]) -> None:
    """Reads what is there of these and is not known yet; a damaged file is set aside."""
    for cell in cells:
      result = None if cell in self.kept else cell_files.read_cell(self.sweep.store_dir, cell)
      if result:
        self.kept[cell] = result.summary()

  def _found(self) -> list[cell_files.Summary]:
    return [self.kept[cell] for cell in self.sweep.cells if cell in self.kept]
