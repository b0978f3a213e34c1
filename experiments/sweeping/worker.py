"""Worker of a sweep: takes cells, computes them, and writes results and failures."""

import dataclasses
import functools
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import logging

from experiments.config.cell import Cell
from experiments.config.columns import configuration, describe
from experiments.config.sharing import Operation
from experiments.config.sweep import Sweep
from experiments.config.workload import steps_of, with_chunk, work_of
from experiments.engine.runner import run_cell
from experiments.process import distributed, preemption
from experiments.process.compilation import TooLarge
from experiments.process.progress_bars import LINE_SECONDS, bar
from experiments.store import failures
from experiments.store.cells import CellResult, cell_hash, write_cell
from experiments.store.leases import Claims
from experiments.store.reconstructions import Examples, write_examples
from experiments.store.trials import forget_trials
from experiments.sweeping.queue import Queue, in_share
from mamljax.errors import InputError

WAIT_SECONDS = 1.0  # between two attempts to take cells of other tasks
# The description comes last, since a narrow terminal cuts off the end.
BAR = '{percentage:3.0f}% |{bar:10}| {elapsed}<{remaining}  {desc}'

Result = CellResult


class Worker:
  """One task of a sweep at work, with its progress.

  Attributes:
    finished: function called with each result, once the result is written.
  """

  def __init__(
    self, sweep: Sweep, operation: Operation, finished: Callable[[Cell, Result], Any]
  ):
    self.sweep, self.operation, self.finished = sweep, operation, finished
    self._bar: Any = None
    self._share: dict[str, int] = {}  # the work of each cell in the share of this task
    self._trials = self._done = self._failed = 0
    self._last_line = time.monotonic()
    self._waiting_for: set[str] = set()

  def work(self, queue: Queue, claims: Claims) -> None:
    """Computes all free cells; the only task of a sweep also waits for claimed cells.

    One of several tasks leaves claimed cells to the others, once it has seen that they are at
    work. The first process shows a bar for the share of this task and the cells that it takes
    in addition.

    Raises:
      Interrupted: if the process was asked to stop.
    """
    cells, share = queue.left.items(), self.operation.share
    self._share = {name: work_of(cell) for name, cell in cells if in_share(cell, **share)}
    is_hidden = not (distributed.is_first() and queue.left)
    with bar(total=sum(self._share.values()), disable=is_hidden, bar_format=BAR) as self._bar:
      self._take_all(queue, claims)
      while self._waits(queue, claims):
        time.sleep(WAIT_SECONDS)
        self._take_all(queue, claims)

  def _take_all(self, queue: Queue, claims: Claims) -> None:
    while (cell := queue.take()) is not None:
      self._expect(cell, queue)
      with claims.held(cell_hash(cell)):
        self._compute(cell)

  def _expect(self, cell: Cell, queue: Queue) -> None:
    """Sets the end of the bar to this cell and the rest of the share, and names the cell.

    Other tasks may have computed a part of the share since the bar was last set.
    """
    left = sum(work for name, work in self._share.items() if name in queue.left)
    self._bar.total = self._bar.n + work_of(cell) + left
    task = f'task {self.operation.shard + 1} of {self.operation.num_shards}: '
    is_shared = self.operation.num_shards > 1
    self._bar.set_description_str((task if is_shared else '') + describe(cell))

  def _waits(self, queue: Queue, claims: Claims) -> bool:
    """Tests whether to wait for other tasks; the first of several processes decides."""
    decides = distributed.is_first() and bool(queue.left)
    waits = distributed.any_process(decides and self._others(queue, claims))
    if waits and distributed.asked_to_stop():
      raise preemption.Interrupted
    return waits

  def _others(self, queue: Queue, claims: Claims) -> bool:
    """Tests whether there are other tasks to wait for, and names them in a warning."""
    is_one_of_several = self.operation.num_shards > 1 or jax.process_count() > 1
    if is_one_of_several and not claims.undecided(list(queue.left)):
      return False
    if self._waiting_for != set(queue.left):
      self._waiting_for = set(queue.left)
      others = ', '.join(claims.holders(list(queue.left))) or 'others'
      logging.warning('waiting for %d cells, computed by %s', len(queue.left), others)
    return True

  def _compute(self, cell: Cell) -> None:
    """Computes a cell and writes its result, or its failure."""
    self._trials = 0
    try:
      result, examples = within_memory(cell, self._run)
    except (InputError, preemption.Interrupted):
      raise
    except Exception as error:
      self._fail(cell, error)
      return
    self._done += 1
    if distributed.is_first():
      self._keep(cell, result, examples)
      self.finished(cell, result)

  def _run(self, cell: Cell) -> tuple[Result, Examples | None]:
    return run_cell(
      cell,
      data_dir=self.sweep.data_dir,
      store_dir=self.sweep.store_dir,
      advance=functools.partial(self._advance, cell),
      save_seconds=self.operation.save_seconds,
    )

  def _keep(self, cell: Cell, result: Result, examples: Examples | None) -> None:
    """Writes the result of a cell, and deletes its saved trials and failures."""
    store, name = self.sweep.store_dir, cell_hash(cell)
    if examples:
      write_examples(store, cell, examples)
    write_cell(store, result)  # last: it marks the cell as finished
    forget_trials(store, name)
    failures.forget(store, name)

  def _fail(self, cell: Cell, error: Exception) -> None:
    """Records a failure, after which the sweep continues.

    If one of several processes failed, the others may not have: all of them are ended.
    """
    if jax.process_count() > 1 and not isinstance(error, FloatingPointError):
      distributed.abandon(error)
    self._failed += 1
    if distributed.is_first():
      name = cell_hash(cell)
      failures.record(self.sweep.store_dir, name, describe(cell), error)
    if isinstance(error, FloatingPointError):  # all processes see the same scores
      logging.warning('no result: %s: %s', describe(cell), error)
      return
    logging.warning('no result: %s: %s', describe(cell), error, exc_info=error)

  def _advance(self, cell: Cell, trials: int) -> None:
    """Advances the bar; once a minute prints a line of JSON, unless to a terminal."""
    if not self._bar.n:
      self._bar.unpause()  # else compilation of the first cell would spoil the time left
    self._trials += trials
    self._bar.update(trials * steps_of(cell))
    if time.monotonic() - self._last_line >= LINE_SECONDS:
      self._last_line = time.monotonic()
      if distributed.is_first() and not sys.stdout.isatty():
        print(json.dumps(self._line(cell)), flush=True)

  def _line(self, cell: Cell) -> dict[str, Any]:
    """The progress of this task, for a program that reads the log."""
    bar = self._bar.format_dict
    left = (bar['total'] - bar['n']) / bar['rate'] if bar['rate'] else None
    return {
      'time': round(time.time()),
      'task': f'{socket.gethostname()}:{os.getpid()}',
      'shard': self.operation.shard,
      'num_shards': self.operation.num_shards,
      'cells_done': self._done,
      'cells_failed': self._failed,
      'cell': cell_hash(cell),
      'trials_done': self._trials,
      'trials': cell.game.trials + cell.game.calibration_trials,
      'seconds_left': None if left is None else round(left),
    }


def within_memory(
  cell: Cell, run: Callable[[Cell], tuple[Result, Examples | None]]
) -> tuple[Result, Examples | None]:
  """Runs a cell; if the memory does not suffice, again with smaller chunks.

  Where the device tells its memory, the compiled program says beforehand what it needs, and the
  chunk is halved until its share of that fits; else, or if the device fails all the same, once.

  The configuration of the result is that of the cell. `extra['chunk_run']` is the size of the
  chunks that were computed; the scores are, bit for bit, those of that size.
  """
  try:
    return run(cell)
  except (jax.errors.JaxRuntimeError, MemoryError) as error:
    if not _is_exhausted(error) or cell.execution.chunk == 1 or jax.process_count() > 1:
      raise
    smaller = with_chunk(cell, _smaller(cell.execution.chunk, error))
  logging.warning(
    '%s: out of memory, now in chunks of %d', describe(cell), smaller.execution.chunk
  )
  result, examples = within_memory(smaller, run)
  extra = {'chunk_run': smaller.execution.chunk} | result.extra
  return dataclasses.replace(result, configuration=configuration(cell), extra=extra), examples


def _smaller(chunk: int, error: Exception) -> int:
  """The half of a chunk, its half and so on, until it may fit; at least 1."""
  half = chunk // 2
  if isinstance(error, TooLarge):
    while half > 1 and error.needs * half / chunk > error.has:
      half //= 2
  return half


# XLA's message for exhausted memory depends on the allocator: 'INTERNAL: ... Out of memory
# allocating', 'Failed to allocate', CUDA_ERROR_OUT_OF_MEMORY, CUBLAS_STATUS_ALLOC_FAILED.
_EXHAUSTED = re.compile(
  'RESOURCE_EXHAUSTED|out.of.memory|failed to allocate|ALLOC_FAILED', re.IGNORECASE
)


def _is_exhausted(error: Exception) -> bool:
  return isinstance(error, MemoryError) or bool(_EXHAUSTED.search(str(error)))
