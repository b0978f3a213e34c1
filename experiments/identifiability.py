"""Test of identifiability, Proposition 3.1: `python -m experiments.identifiability`.

Searches for other data with the same gradient (see experiments.studies.identifiability) and
writes OUT/identifiability.csv and OUT/identifiability.png.
"""

from collections.abc import Sequence

from absl import flags

from experiments.process import arguments, bounds, cli
from experiments.process.bounds import Bounds
from experiments.studies.identifiability_report import format_table, run_study
from mamljax.errors import InputError

_DATASET = flags.DEFINE_string(
  'dataset', 'mnist_sample', 'data set, by name, TFDS name or npz:PATH'
)
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'folder of prepared data sets')
_HIDDEN_UNITS = flags.DEFINE_list(
  'hidden_units', '2,4,8,16,32', 'widths of the hidden layers to match, the pictured one first'
)
_TASKS = bounds.integer(
  'tasks',
  20,
  Bounds(1, 1_000_000, 'tasks'),
  'number of tasks whose images the MLP is tested on',
)
_SEED = bounds.integer('seed', 1, Bounds(0, 2**31 - 1), 'seed of all random draws')
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', 'out', 'folder to which the results are written'
)


def main(argv: Sequence[str]) -> None:
  """Tests every network, then prints the table."""
  del argv
  units, folder = _read_units(), arguments.folder('output_dir', _OUTPUT_DIR.value)
  findings = run_study(
    folder,
    dataset=_DATASET.value,
    data_dir=arguments.folder('data_dir', _DATA_DIR.value) if _DATA_DIR.value else None,
    units=units,
    tasks=_TASKS.value,
    seed=_SEED.value,
  )
  print(format_table(findings), f'also in {folder / "identifiability.csv"}', sep='\n\n')


def _read_units() -> list[int]:
  """The widths given by the flag."""
  units = bounds.whole_numbers(_HIDDEN_UNITS, Bounds(1, 512, 'units'))
  if not units:
    raise InputError('no value is given for hidden_units')
  return units


if __name__ == '__main__':
  cli.cache_compilations()
  cli.run(main)
