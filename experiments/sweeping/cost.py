"""Expected time and memory of a cell, fitted to the finished cells.

log(cost) is linear in the logarithms of a cell's sizes and in indicators of its categories
(attack, network, target, data, order). Ridge regression pulls the fit towards a prior guess
where there are no data.
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

# The prior guess: the costs of an image in one pass through conv4 on one core of a CPU.
SECONDS_PER_PASS, BYTES_PER_IMAGE, BYTES_AT_LEAST = 3e-4, 4e6, 3e8
RIDGE = 0.1
_MAX_LOG_COST = 300.0  # beyond, a sum of many costs overflows


class Expected(NamedTuple):
  """Expected costs of a cell: seconds on one device, and bytes on each device."""

  seconds: float
  memory: float


class _Line(NamedTuple):
  """A fitted line.

  Attributes:
    categories: the names and values of the cells' categories, an indicator column each.
    weights: the weight of each column.
  """

  categories: list[tuple[str, Any]]
  weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class Costs:
  """Fitted model of the costs of cells."""

  seconds: _Line
  memory: _Line

  def expect(self, cell: Cell) -> Expected:
    """The expected costs of a cell, without the training of its model."""
    trials = cell.game.trials + cell.game.calibration_trials
    seconds = trials * _exp(_predict(self.seconds, cell, _seconds_prior))
    return Expected(seconds, _exp(_predict(self.memory, cell, _memory_prior)))


def fit(results: Iterable[Summary]) -> Costs:
  """The model of costs fitted to finished cells; without any, the prior guess.

  Cells of other versions of the program, which cannot be made any more, are ignored.
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
  """The cell of a result; None if this version of the program has no such cell."""
  try:
    return result.cell
  except InputError:
    return None


def _exp(logarithm: float) -> float:
  """A cost from its predicted logarithm, limited so that sums do not overflow."""
  return math.exp(min(logarithm, _MAX_LOG_COST))


def _seconds_prior(cell: Cell) -> float:
  return math.log(SECONDS_PER_PASS * passes(cell) * _images(cell) * cell.game.participations)


def _memory_prior(cell: Cell) -> float:
  return math.log(BYTES_AT_LEAST + BYTES_PER_IMAGE * cell.execution.chunk * _images(cell))


def _images(cell: Cell) -> int:
  return cell.task.ways * cell.task.shots * cell.game.learners * sets_at_once(cell)


def _categories(cell: Cell) -> dict[str, Any]:
  """The categorical settings of a cell on which its cost depends."""
  return {
    'attack': cell.attack_name,
    'network': cell.model.network_name,
    'target': cell.game.target,
    'dataset': cell.data.dataset,
    'protocol': cell.inner.protocol,
    'order': cell.inner.order,
  }


def _fit(measured: Sequence[tuple[Cell, float]], prior: Callable[[Cell], float]) -> _Line:
  """Ridge regression of the residuals of measured log costs from the prior guess."""
  pairs = {pair for cell, _ in measured for pair in _categories(cell).items()}
  categories = sorted(pairs, key=str)
  if not measured:
    return _Line([], np.zeros(len(_sizes(Cell())) + 1))
  columns = np.array([_columns(cell, categories) for cell, _ in measured])
  residuals = np.array([cost - prior(cell) for cell, cost in measured])
  squares = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
  return _Line(categories, np.linalg.solve(squares, columns.T @ residuals))


def _predict(line: _Line, cell: Cell, prior: Callable[[Cell], float]) -> float:
  """The predicted logarithm of a cost."""
  return prior(cell) + float(np.dot(_columns(cell, line.categories), line.weights))


def _columns(cell: Cell, categories: list[tuple[str, Any]]) -> list[float]:
  """The regressors of a cell: a constant, the sizes and the indicators of categories."""
  values = _categories(cell)
  return [1.0, *_sizes(cell), *(float(values[name] == value) for name, value in categories)]


def _sizes(cell: Cell) -> list[float]:
  """The logarithms of a cell's sizes, which are about 0 for the default cell."""
  filters, chunk = cell.model.network_options.get('filters', 32), cell.execution.chunk
  sizes = (passes(cell) / 100, _images(cell) / 3, filters / 32, chunk / 4)
  return [math.log(size) for size in (*sizes, (cell.data.image_size or 28) / 28)]
