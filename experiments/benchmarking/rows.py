"""The rows of the benchmark: works, their contestants and the speed to be reached."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarking.contest import Entry
from experiments.config.cell import Cell
from experiments.config.columns import configuration, make_cell
from experiments.config.workload import with_chunk
from experiments.process.bounds import Bounds

OURS, PRODUCT, ONE_CORE = 'mamljax', 'product', 'mamljax_one_core'
PEERS = ('torch_sequential', 'torch_func')
ITERATIONS, FILTERS = Bounds(1, 1_000_000, 'steps'), Bounds(1, 8192, 'channels')
CHUNKS = 4  # of candidates in a run, per core
_TRAINING_ROUNDS = 2


class Row(NamedTuple):
  """One line of work.

  Attributes:
    kind: kind of work, 'attack' or 'training', a key of `workloads.KINDS`.
    fields: fields of the cell.
    aim: speed of mamljax to be reached, relative to sequential PyTorch or to one core.
    cores: number of cores of mamljax; with more than one, it is compared with itself on one.
  """

  kind: str
  fields: dict[str, Any]
  aim: float
  cores: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
  """The settings that all rows share.

  Attributes:
    activation: activation function of the network.
    iterations: number of steps of a reconstruction.
    chunk: number of candidates that mamljax computes together; 0: as `good_chunk` chooses for
      one core.
    peers: the contestants among `PEERS`.
    peer_batch: number of candidates that torch_func computes together.
    dataset: name of the data set.
    filters: number of filters of Conv4.
    precision: precision of mamljax's matrix products.
  """

  activation: str
  iterations: int
  chunk: int
  peers: tuple[str, ...]
  peer_batch: int
  dataset: str
  filters: int
  precision: str = 'highest'


def _attacks(target: str, *aims: float) -> dict[str, Row]:
  """An attack for each data size of the paper's Tables III and IV but 15."""
  sizes = ((3, 1), (5, 1), (5, 2), (5, 4))
  return {
    f'{target}_{ways * shots}': Row(
      'attack', {'target': target, 'ways': ways, 'shots': shots}, aim
    )
    for (ways, shots), aim in zip(sizes, aims, strict=True)
  }


ROWS: dict[str, Row] = {
  **_attacks('query', 14, 10, 6, 4.5),
  **_attacks('support', 11, 9, 6, 4),
  'mlp_query': Row('attack', {'network': 'mlp', 'ways': 5}, 25),
  'training': Row('training', {'ways': 5, 'inner_steps': 5}, 8),
  'two_cores': Row('attack', {'ways': 5}, 1.8, cores=2),
}


def has_torch() -> bool:
  """Tests whether the extra `peers` is installed."""
  return importlib.util.find_spec('torch') is not None


def cell_of(row: Row, choices: Choices) -> Cell:
  """The cell of a row, without its chunk.

  Raises:
    InputError: if a setting is not possible.
  """
  chosen = {
    'activation': choices.activation,
    'dataset': choices.dataset,
    'matmul_precision': choices.precision,
    'reconstruction.iterations': choices.iterations,
  }
  if row.fields.get('network', 'conv4') == 'conv4':
    chosen['conv4.filters'] = choices.filters
  return make_cell(**chosen | row.fields)


def entries_of(row: Row, choices: Choices, problem: Path) -> list[Entry]:
  """The contestants of a row; the first draws the problem, and writes it for the peers."""
  cell = cell_of(row, choices)
  cell = with_chunk(cell, choices.chunk, on_cpu=True)  # known without starting JAX
  product = _mamljax(PRODUCT, 'product', cell, units=1, cores=row.cores, devices=1)
  if row.cores > 1:
    units = CHUNKS * cell.execution.chunk
    two = _mamljax(OURS, row.kind, cell, units=units * row.cores, cores=row.cores)
    return [two, _mamljax(ONE_CORE, row.kind, cell, units=units), product]
  units = CHUNKS * cell.execution.chunk if row.kind == 'attack' else _TRAINING_ROUNDS
  ours = _mamljax(OURS, row.kind, cell, units=units, problem=str(problem))
  counts = {'torch_sequential': 1, 'torch_func': min(choices.peer_batch, units)}
  peers = [
    _torch(name, row, cell, counts[name] if row.kind == 'attack' else 1, problem)
    for name in choices.peers
  ]
  return [ours, *peers, product]


def _mamljax(
  name: str,
  kind: str,
  cell: Cell,
  *,
  units: int,
  cores: int = 1,
  devices: int = 0,
  problem: str = '',
) -> Entry:
  """A contestant of mamljax, by default with a virtual device for each core."""
  work = {'kind': kind, 'cell': configuration(cell), 'units': units, 'problem': problem}
  arguments = (json.dumps(work), str(devices or cores))
  return Entry(name, 'experiments.benchmarking.worker', arguments, cores)


def _torch(name: str, row: Row, cell: Cell, units: int, problem: Path) -> Entry:
  """A contestant of a peer."""
  training, attack = row.kind == 'training', cell.attack
  settings = {
    'style': name,
    'kind': row.kind,
    'network': cell.model.network_name,
    'activation': cell.model.activation,
    'target': cell.game.target,
    'units': units,
    'iterations': attack.iterations,
    'learning_rate': cell.model.outer_learning_rate if training else attack.learning_rate,
    'decay': attack.decay,
    'tv_weight': attack.tv_weight,
    'inner_steps': cell.inner.steps,
    'inner_learning_rate': cell.inner.learning_rate,
  }
  return Entry(name, 'benchmarks.peers', (json.dumps(settings), str(problem)))
