"""Data sets of uint8 images in a fixed order, from the package, TFDS or a file."""

from mamljax.data.dataset import Dataset, Splits, make_dataset, split_dataset
from mamljax.data.loading import load_dataset

__all__ = ['Dataset', 'Splits', 'load_dataset', 'make_dataset', 'split_dataset']
