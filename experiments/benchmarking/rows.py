"""The rows of the benchmark: what is done, by whom, and how fast it is meant to be."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarking.contest import Entry
from experiments.config.cell import Cell

OURS, PRODUCT, ONE_CORE = 'mamljax', 'product', 'mamljax_one_core'
PEERS = ('torch_sequential', 'torch_func')
CHUNKS = 4  # in a run, for each core
_TRAINING_ROUNDS = 2


class Row(NamedTuple):
  """One line of work.

  Attributes:
    kind: 'attack' or 'training', as `workloads.KINDS` knows them.
    fields: of the cell.
    aim: how many times as fast as sequential PyTorch, or as on one core, mamljax is to be.
    cores: how many mamljax uses; with more than one, it is compared with itself on one.
  """

  kind: str
  fields: dict[str, Any]
  aim: float
  cores: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
  """What is the same for all rows.

  Attributes:
    activation: of the network.
    iterations: of a reconstruction.
    chunk: candidates that mamljax computes together; 0: as `good_chunk` says for one core.
    peers: of `PEERS`, those that are measured.
    peer_batch: candidates that torch_func computes together.
    dataset: where images come from.
    filters: of Conv4.
    precision: of mamljax's matrix products.
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
  """An attack for each data size of the paper's Tables III and IV but one."""
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
  """Whether the extra `peers` is installed."""
  return importlib.util.find_spec('torch') is not None


def cell_of(row: Row, choices: Choices) -> Cell:
  """The cell of a row, but for its chunk.

  Raises:
    InputError: if a choice cannot be.
  """
  names = ('activation', 'iterations', 'dataset', 'filters', 'precision')
  chosen = {name: getattr(choices, name) for name in names}
  return Cell(**chosen | row.fields)


def good_cpu_chunk(cell: Cell) -> int:
  """`playing.good_chunk` on a CPU, known without starting JAX."""
  return max(1, 12 // (cell.ways * cell.shots))


def entries_of(row: Row, choices: Choices, problem: Path) -> list[Entry]:
  """The contestants of a row; the first draws the problem, and writes it for the peers."""
  cell = cell_of(row, choices)
  cell = dataclasses.replace(cell, chunk=choices.chunk or good_cpu_chunk(cell))
  product = _mamljax(PRODUCT, 'product', cell, units=1, cores=row.cores, devices=1)
  if row.cores > 1:
    units = CHUNKS * cell.chunk
    two = _mamljax(OURS, row.kind, cell, units=units * row.cores, cores=row.cores)
    return [two, _mamljax(ONE_CORE, row.kind, cell, units=units), product]
  units = CHUNKS * cell.chunk if row.kind == 'attack' else _TRAINING_ROUNDS
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
  """mamljax, by default with a virtual device for each core."""
  cell_fields = dataclasses.asdict(cell)
  work = {'kind': kind, 'cell': cell_fields, 'units': units, 'problem': problem}
  arguments = (json.dumps(work), str(devices or cores))
  return Entry(name, 'experiments.benchmarking.worker', arguments, cores)


def _torch(name: str, row: Row, cell: Cell, units: int, problem: Path) -> Entry:
  """A peer."""
  training = row.kind == 'training'
  settings = {
    'style': name,
    'kind': row.kind,
    'network': cell.network,
    'activation': cell.activation,
    'target': cell.target,
    'units': units,
    'iterations': cell.iterations,
    'learning_rate': cell.outer_learning_rate if training else cell.attack_learning_rate,
    'decay': cell.attack_decay,
    'tv_weight': cell.tv_weight,
    'inner_steps': cell.inner_steps,
    'inner_learning_rate': cell.inner_learning_rate,
  }
  return Entry(name, 'benchmarks.peers', (json.dumps(settings), str(problem)))
