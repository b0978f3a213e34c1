"""Benchmark of mamljax beside PyTorch: `python -m experiments.benchmark --flagfile=...`.

Each row of work is done by mamljax and, if the extra `peers` is installed, by PyTorch in two
ways, each in a separate process on one core, in turn, round after round. Writes
OUT/benchmark.json with every sample, OUT/benchmark.csv and OUT/benchmark.png, and prints the
medians and the ratios within a round. Other load disturbs the seconds more than the ratios.
"""

from collections.abc import Sequence

from absl import flags

from experiments.benchmarking import lines, rows
from experiments.benchmarking.measurement import check_rows, measure_rows
from experiments.config.sections import Execution
from experiments.process import arguments, bounds, cli
from experiments.process.bounds import Bounds
from mamljax.errors import unknown
from mamljax.networks import PRECISIONS

_ROWS = flags.DEFINE_list('rows', list(rows.ROWS), f'rows, of {", ".join(rows.ROWS)}')
_ROUNDS = bounds.integer(
  'rounds',
  9,
  Bounds(1, 10_000, 'rounds'),
  'number of runs of each contestant; an interval needs six',
)
_ITERATIONS = bounds.integer(
  'iterations', 100, rows.ITERATIONS, 'number of steps of a reconstruction'
)
_ACTIVATION = flags.DEFINE_enum(
  'activation', 'relu', ['relu', 'softplus'], 'activation function'
)
_CHUNK = bounds.integer(
  'chunk',
  0,
  bounds.of(Execution)['chunk']._replace(least=0),
  'number of candidates that mamljax computes together; 0: as it chooses',
)
_PEERS = flags.DEFINE_list('peers', list(rows.PEERS), 'peers to run; none without PyTorch')
_PEER_BATCH = bounds.integer(
  'peer_batch',
  4,
  bounds.of(Execution)['chunk'],
  'number of candidates torch_func computes together',
)
_DATASET = flags.DEFINE_string('dataset', 'mnist_sample', 'data set of the images')
_FILTERS = bounds.integer('filters', 32, rows.FILTERS, 'number of filters of Conv4')
_QUICK = flags.DEFINE_bool(
  'quick', False, 'the first row alone, three rounds of three iterations; OUT_quick'
)
_PRECISION = flags.DEFINE_enum(
  'precision',
  'highest',
  PRECISIONS,
  "precision of mamljax's matrix products; a CPU has only the highest",
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out', 'folder to which the results are written'
)


def main(argv: Sequence[str]) -> None:
  """Runs the rows, then prints the table."""
  del argv
  names, choices = _read_rows(), _read_choices()
  folder = arguments.folder('output_dir', _OUTPUT_DIR.value)
  folder = cli.quick_folder(folder) if _QUICK.value else folder
  check_rows(folder, names, choices)
  if _PEERS.value and not choices.peers:
    print("PyTorch is not installed, so mamljax runs alone: pip install -e '.[peers]'")
  rounds = 3 if _QUICK.value else _ROUNDS.value
  print(lines.format_lines(measure_rows(folder, names, choices, rounds=rounds)))


def _read_rows() -> list[str]:
  """The names of the rows, each once."""
  names = cli.chosen('row', _ROWS, rows.ROWS)
  return names[:1] if _QUICK.value else names


def _read_choices() -> rows.Choices:
  """The settings that all rows share, from the flags."""
  for name in _PEERS.value:
    if name not in rows.PEERS:
      raise unknown('peer', name, rows.PEERS)
  return rows.Choices(
    activation=_ACTIVATION.value,
    iterations=3 if _QUICK.value else _ITERATIONS.value,
    chunk=_CHUNK.value,
    peers=tuple(_PEERS.value) if rows.has_torch() else (),
    peer_batch=_PEER_BATCH.value,
    dataset=_DATASET.value,
    filters=_FILTERS.value,
    precision=_PRECISION.value,
  )


if __name__ == '__main__':
  cli.run(main)
