"""Labelled examples in a fixed order: from the package, TFDS, a file or arrays of one's own."""

from mamljax.data.arrays import Data, from_arrays
from mamljax.data.dataset import Dataset, Splits, make_dataset, split_dataset
from mamljax.data.loading import load_dataset

__all__ = [
  'Data',
  'Dataset',
  'Splits',
  'from_arrays',
  'load_dataset',
  'make_dataset',
  'split_dataset',
]
