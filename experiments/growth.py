"""Growth of time and memory with the work: `python -m experiments.growth --flagfile=...`.

Along each axis (candidates, data size, ways, inner steps, image size), attacks of growing
size run in turn on one core, round after round. Writes OUT/growth.csv and OUT/growth.png and
prints the exponents of the growth: 1 is linear, 0 is flat.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.benchmarking import contest, growing
from experiments.benchmarking.rows import ITERATIONS
from experiments.config import bounds
from experiments.config.bounds import Bounds
from experiments.process import arguments, cli
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic

_AXES = flags.DEFINE_list('axes', list(growing.AXES), f'axes, of {", ".join(growing.AXES)}')
_ROUNDS = bounds.integer(
  'rounds', 5, Bounds(1, 10_000, 'rounds'), 'number of runs of each size'
)
_ITERATIONS = bounds.integer(
  'iterations', 10, ITERATIONS, 'number of steps of a reconstruction'
)
_QUICK = flags.DEFINE_bool(
  'quick', False, 'the first axis and its three smallest sizes, on the MLP; OUT_quick'
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out', 'folder to which the results are written'
)


def main(argv: Sequence[str]) -> None:
  """Measures along each axis, then prints the exponents."""
  del argv
  names, folder = _read_axes(), arguments.folder('output_dir', _OUTPUT_DIR.value)
  folder = cli.quick_folder(folder) if _QUICK.value else folder
  common = {
    'reconstruction.iterations': _ITERATIONS.value,
    'network': 'mlp' if _QUICK.value else 'conv4',
  }
  max_points = 3 if _QUICK.value else None
  axes = {name: growing.AXES[name] for name in names}
  entries = {
    name: growing.entries_of(axis, common, points=max_points) for name, axis in axes.items()
  }
  cells.check_output_dir(folder)
  runs.begin(folder, 'growth.csv')
  series: dict[str, list[growing.Point]] = {}
  for name in names:
    series[name] = _measure(name, entries[name])
    _write(folder, series)
  runs.write_run(folder)
  print(growing.format_axes(series))


def _read_axes() -> list[str]:
  """The axes given by the flag, each once."""
  names = cli.chosen('axis', _AXES, growing.AXES)
  return names[:1] if _QUICK.value else names


def _measure(name: str, entries: Sequence[contest.Entry]) -> list[growing.Point]:
  """Measures the points of an axis."""
  with bar(total=len(entries) + _ROUNDS.value, desc=name, unit='step') as progress:
    outcomes = contest.compete(entries, rounds=_ROUNDS.value, advance=progress.update)
  return growing.points_of(name, outcomes)


def _write(folder: Path, series: Mapping[str, Sequence[growing.Point]]) -> None:
  """Writes the axes measured so far, as a table and as a figure."""
  lines = [point._asdict() for points in series.values() for point in points]
  atomic.write_text(folder / 'growth.csv', csv_text(growing.Point._fields, lines))
  figures.save(growing.draw_axes(series), folder / 'growth.png')


if __name__ == '__main__':
  cli.run(main)
