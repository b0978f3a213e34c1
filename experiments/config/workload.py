"""The work of a cell: passes over an image, and how many trials are computed together."""

import dataclasses

import jax

from experiments.config.attacks import attacks_of
from experiments.config.cell import Cell

CACHED_IMAGES = 12  # that fit a core's cache, where each is looked at again and again


def passes(cell: Cell) -> int:
  """The passes of a trial through a set: its iterations or shadows, or one."""
  return sum(attack.passes for attack in attacks_of(cell.attack)) or 1


def sets_at_once(cell: Cell) -> int:
  """The number of sets that an attack differentiates together in one trial, at least one."""
  return max([1, *(attack.sets_at_once for attack in attacks_of(cell.attack))])


def steps_of(cell: Cell) -> int:
  """The work of a trial in passes over single images, for the estimate of the time left."""
  return cell.task.ways * cell.task.shots * passes(cell) * cell.game.participations


def work_of(cell: Cell) -> int:
  """The work of a cell, in the same unit."""
  return steps_of(cell) * (cell.game.trials + cell.game.calibration_trials)


def good_chunk(cell: Cell, *, on_cpu: bool | None = None) -> int:
  """The number of trials that fits a core's cache, or keeps an accelerator busy.

  An attack that sees an image only once does better with more of them at a time.

  Args:
    cell: what is computed.
    on_cpu: whether on a CPU; None asks JAX, which starts it.
  """
  on_cpu = jax.default_backend() == 'cpu' if on_cpu is None else on_cpu
  cached = CACHED_IMAGES if passes(cell) > 1 else 10 * CACHED_IMAGES
  images = cached if on_cpu else 2048
  one = cell.task.ways * cell.task.shots * cell.game.learners * sets_at_once(cell)
  return max(1, images // one)


def with_chunk(cell: Cell, chunk: int, *, on_cpu: bool | None = None) -> Cell:
  """The cell computed in chunks of so many trials; 0: as `good_chunk` says."""
  chunk = chunk or good_chunk(cell, on_cpu=on_cpu)
  return dataclasses.replace(cell, execution=dataclasses.replace(cell.execution, chunk=chunk))
