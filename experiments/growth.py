"""Growth of time and memory with the work: `python -m experiments.growth --flagfile=...`.

Along each axis (candidates, data size, ways, inner steps, image size), attacks of growing
size run in turn on one core, round after round. Writes OUT/growth.csv and OUT/growth.png and
prints the exponents of the growth: 1 is linear, 0 is flat.
"""

from collections.abc import Sequence

from absl import flags

from experiments.benchmarking import growing
from experiments.benchmarking.growth import measure_axes
from experiments.benchmarking.rows import ITERATIONS
from experiments.process import arguments, bounds, cli
from experiments.process.bounds import Bounds

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
  print(growing.format_axes(measure_axes(folder, entries, rounds=_ROUNDS.value)))


def _read_axes() -> list[str]:
  """The axes given by the flag, each once."""
  names = cli.chosen('axis', _AXES, growing.AXES)
  return names[:1] if _QUICK.value else names


if __name__ == '__main__':
  cli.run(main)
