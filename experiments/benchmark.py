"""Benchmark of mamljax beside PyTorch: `python -m experiments.benchmark --flagfile=...`.

Each row of work is done by mamljax and, if the extra `peers` is installed, by PyTorch in two
ways, each in a separate process on one core, in turn, round after round. Writes
OUT/benchmark.json with every sample, OUT/benchmark.csv and OUT/benchmark.png, and prints the
medians and the ratios within a round. Other load disturbs the seconds more than the ratios.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.benchmarking import contest, lines, rows
from experiments.config import bounds
from experiments.config.bounds import Bounds
from experiments.config.sections import Execution
from experiments.engine import checking, models
from experiments.process import arguments, cli
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic
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
  for name in names:  # so that a mistake in the last row shows before the first runs
    cell = rows.cell_of(rows.ROWS[name], choices)
    checking.check_pixels(cell, models.splits_of(cell, None))
  cells.check_output_dir(folder)
  runs.begin(folder, 'benchmark.csv', 'benchmark.json')
  if _PEERS.value and not choices.peers:
    print("PyTorch is not installed, so mamljax runs alone: pip install -e '.[peers]'")
  results, table = {}, []
  with tempfile.TemporaryDirectory() as scratch:
    for name in bar(names, unit='row'):
      outcomes = _compete(name, choices, Path(scratch) / f'{name}.npz')
      results[name] = {
        contestant: outcome._asdict() for contestant, outcome in outcomes.items()
      }
      cell = rows.cell_of(rows.ROWS[name], choices)
      table += lines.lines_of(name, rows.ROWS[name], cell, outcomes)
      _write(folder, results, table)
  runs.write_run(folder)
  print(lines.format_lines(table))


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


def _compete(name: str, choices: rows.Choices, problem: Path) -> dict[str, contest.Outcome]:
  """Runs the contestants of a row."""
  entries = rows.entries_of(rows.ROWS[name], choices, problem)
  rounds = 3 if _QUICK.value else _ROUNDS.value
  total = len(entries) + rounds
  with bar(total=total, desc=name, unit='step', leave=False) as progress:
    return contest.compete(entries, rounds=rounds, advance=progress.update)


def _write(folder: Path, results: dict[str, Any], table: Sequence[lines.Line]) -> None:
  """Writes the rows measured so far: every sample, the table and the figure."""
  atomic.write_text(folder / 'benchmark.json', json.dumps(results, indent=1) + '\n')
  text = csv_text(lines.Line._fields, [line._asdict() for line in table])
  atomic.write_text(folder / 'benchmark.csv', text)
  figures.save(lines.draw_lines(table), folder / 'benchmark.png')


if __name__ == '__main__':
  cli.run(main)
