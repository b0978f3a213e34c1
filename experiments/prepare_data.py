"""Prepares TFDS data sets for the experiments.

  python -m experiments.prepare_data --datasets=mnist,fashion_mnist [--idx_dir=DIR]

downloads the data sets, or reads them from IDX files in DIR/mnist and DIR/fashion_mnist, and
prints the number of images of each class in each split.
"""

import logging
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.process import arguments, cli
from mamljax.data.preparation import Prepared, prepare
from mamljax.data.tfds_source import find_builder
from mamljax.errors import InputError

_DATASETS = flags.DEFINE_list(
  'datasets', ['mnist', 'fashion_mnist'], 'names of the data sets in TFDS'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  'folder in which TFDS keeps data sets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)',
)
_IDX_DIR = flags.DEFINE_string(
  'idx_dir',
  None,
  'folder with a subfolder of IDX files for each data set (default: download them)',
)

MAX_ROWS = 100


def main(argv: Sequence[str]) -> None:
  """Prepares the data sets; an unknown name among them is refused before any is prepared."""
  del argv
  logging.getLogger('urllib3').setLevel(logging.ERROR)  # its retries do not concern the user
  if not _DATASETS.value or not all(_DATASETS.value):
    raise InputError(f'--datasets={",".join(_DATASETS.value)}: no name, or an empty one')
  data_dir, idx_dir = (
    arguments.folder(flag.name, flag.value) if flag.value is not None else None
    for flag in (_DATA_DIR, _IDX_DIR)
  )
  for name in _DATASETS.value:
    find_builder(name, data_dir=data_dir)
  for name in _DATASETS.value:
    print(format_counts(name, prepare(name, data_dir=data_dir, idx_dir=idx_dir)))


def format_counts(name: str, prepared: Prepared) -> str:
  """A table of a data set with a column for each split and a row for each class.

  If there are more than `MAX_ROWS` classes, it has the fewest and the most images of a class.
  """
  counts = np.stack([*prepared.counts.values()], axis=-1)
  rows = [*enumerate(counts)]
  if len(rows) > MAX_ROWS:
    rows = [('fewest', counts.min(axis=0)), ('most', counts.max(axis=0))]
  rows = [('class', [*prepared.counts]), *rows, ('total', counts.sum(axis=0))]
  state = 'prepared in' if prepared.new else 'already in'
  lines = [f'{label:>6}' + ''.join(f'{cell:>12}' for cell in row) for label, row in rows]
  return '\n'.join([f'{name}: {len(counts)} classes, {state} {prepared.folder}', *lines, ''])


if __name__ == '__main__':
  cli.run(main)
