"""Makes the samples that ship with the package from the published IDX files.

  python -m mamljax.data.make_samples --idx_dir=DIR

reads the train splits in DIR/mnist and DIR/fashion_mnist and writes to the folder `sample`
beside this file, the same bytes every time. Users of the package need not run it.
"""

import argparse
from pathlib import Path

import numpy as np

from mamljax.data import idx, npz
from mamljax.data.dataset import make_dataset

PER_CLASS = 200
CLASSES = 10


def make_sample(source: Path, target: Path) -> None:
  """Writes 200 images of each class: the first in the order of `Dataset`, which is arbitrary.

  Args:
    source: the folder of the IDX files.
    target: the .npz file to write.
  """
  images, labels = idx.read_labelled_images(source, stem='train', classes=CLASSES)
  dataset = make_dataset(source.name, images, labels)
  starts = dataset.counts.cumsum() - dataset.counts
  rows = (starts[:, None] + np.arange(PER_CLASS)).ravel()
  npz.write(target, compress=True, images=dataset.images[rows], labels=dataset.labels[rows])


def main() -> None:
  """Makes both samples."""
  parser = argparse.ArgumentParser(description='Makes the samples that ship with the package.')
  parser.add_argument('--idx_dir', type=Path, required=True)
  parser.add_argument('--output_dir', type=Path, default=Path(__file__).parent / 'sample')
  options = parser.parse_args()
  for name in ('mnist', 'fashion_mnist'):
    make_sample(options.idx_dir / name, options.output_dir / f'{name}_sample.npz')


if __name__ == '__main__':
  main()
