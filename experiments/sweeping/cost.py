"""How long a cell takes and how much memory it needs, learned from those that are finished.

log(cost) is linear in the logarithms of a cell's sizes and in what it is about (its attack,
network, target and data); ridge regression pulls it to an assumption where nothing is known.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.config.cell import Cell
from experiments.config.workload import passes, sets_at_once
from experiments.store.cells import Summary
from mamljax.errors import InputError

# Before anything is finished: of an image in one pass through conv4 on a core of a CPU.
SECONDS_PER_PASS, BYTES_PER_IMAGE, BYTES_AT_LEAST = 3e-4, 4e6, 3e8
RIDGE = 0.1
_LARGEST = 300.0  # logarithm of a cost: beyond, adding up many overflows


class Expected(NamedTuple):
  """What a cell is going to take: seconds on one device, and bytes on each."""

  seconds: float
  memory: float


class _Line(NamedTuple):
  """A fitted line: the names of what cells are about, and a weight for each column."""

  about: list[tuple[str, Any]]
  weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class Costs:
  """The costs of cells, as fitted."""

  seconds: _Line
  memory: _Line

  def expect(self, cell: Cell) -> Expected:
    """What a cell is going to take; training is not in it."""
    trials = cell.game.trials + cell.game.calibration_trials
    seconds = trials * _exp(_predict(self.seconds, cell, _seconds_prior))
    return Expected(seconds, _exp(_predict(self.memory, cell, _memory_prior)))


def fit(results: Iterable[Summary]) -> Costs:
  """The costs that finished cells suggest; without any, the assumption.

  Cells of another version of the grid suggest none.
  """
  seconds, memory = [], []
  for cell, timings in ((_cell(result), result.timings) for result in results):
    device_seconds = timings['seconds_per_trial'] * timings.get('devices', 1)
    if cell and 0 < device_seconds < math.inf:
      seconds.append((cell, math.log(device_seconds)))
    if cell and timings.get('memory_bytes', 0) > 0:
      memory.append((cell, math.log(timings['memory_bytes'])))
  return Costs(_fit(seconds, _seconds_prior), _fit(memory, _memory_prior))


def _cell(result: Summary) -> Cell | None:
  """The cell of a result; None if it is none of today's."""
  try:
    return result.cell
  except InputError:
    return None


def _exp(logarithm: float) -> float:
  """What its logarithm was predicted of, within what a number holds."""
  return math.exp(min(logarithm, _LARGEST))


def _seconds_prior(cell: Cell) -> float:
  return math.log(SECONDS_PER_PASS * passes(cell) * _images(cell) * cell.game.participations)


def _memory_prior(cell: Cell) -> float:
  return math.log(BYTES_AT_LEAST + BYTES_PER_IMAGE * cell.execution.chunk * _images(cell))


def _images(cell: Cell) -> int:
  return cell.task.ways * cell.task.shots * cell.game.learners * sets_at_once(cell)


def _about(cell: Cell) -> dict[str, Any]:
  """What a cell is about."""
  return {
    'attack': cell.attack_name,
    'network': cell.model.network_name,
    'target': cell.game.target,
    'dataset': cell.data.dataset,
    'order': cell.inner.order,
  }


def _fit(known: Sequence[tuple[Cell, float]], prior: Callable[[Cell], float]) -> _Line:
  """Ridge regression of what is left over the prior."""
  about = sorted({pair for cell, _ in known for pair in _about(cell).items()}, key=str)
  if not known:
    return _Line([], np.zeros(len(_sizes(Cell())) + 1))
  columns = np.array([_columns(cell, about) for cell, _ in known])
  left = np.array([cost - prior(cell) for cell, cost in known])
  squares = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
  return _Line(about, np.linalg.solve(squares, columns.T @ left))


def _predict(line: _Line, cell: Cell, prior: Callable[[Cell], float]) -> float:
  return prior(cell) + float(np.dot(_columns(cell, line.about), line.weights))


def _columns(cell: Cell, about: list[tuple[str, Any]]) -> list[float]:
  """The numbers that the logarithm of a cost is linear in."""
  own = _about(cell)
  return [1.0, *_sizes(cell), *(float(own[name] == value) for name, value in about)]


def _sizes(cell: Cell) -> list[float]:
  """The logarithms of a cell's sizes, those of the default cell being about 0."""
  filters, chunk = cell.model.network_options.get('filters', 32), cell.execution.chunk
  sizes = (passes(cell) / 100, _images(cell) / 3, filters / 32, chunk / 4)
  return [math.log(size) for size in (*sizes, (cell.data.image_size or 28) / 28)]
