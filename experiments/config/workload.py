"""The work of a cell: passes over an image, and how many trials are computed together."""

from typing import Any

import jax

from experiments.config.attacks import attacks_of
from experiments.config.cell import Cell


def passes(cell: Any) -> int:
  """How often a trial of a cell goes through a set: its iterations or shadows, or once."""
  return sum(attack.passes for attack in attacks_of(cell)) or 1


def steps_of(cell: Cell) -> int:
  """The work of a trial, for the time left: images, each as often as it is looked at."""
  return cell.ways * cell.shots * passes(cell) * cell.participations


def work_of(cell: Cell) -> int:
  """The work of a cell, in the same unit."""
  return steps_of(cell) * (cell.trials + cell.calibration_trials)


def good_chunk(cell: Cell) -> int:
  """As many trials as fit a core's cache, or keep an accelerator busy.

  An attack that sees an image only once does better with more of them at a time.
  """
  cached = 12 if passes(cell) > 1 else 120
  images = cached if jax.default_backend() == 'cpu' else 2048
  sets = max([1, *(attack.sets_at_once for attack in attacks_of(cell))])
  return max(1, images // (cell.ways * cell.shots * cell.learners * sets))
