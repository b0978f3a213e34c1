"""The real images that ship with the package: nothing to download or prepare."""

import importlib.resources

import numpy as np

from mamljax.data import npz

SAMPLES = ('mnist_sample', 'fashion_mnist_sample')


def read_sample(name: str) -> tuple[np.ndarray, np.ndarray]:
  """The images, uint8 [2000, 28, 28, 1], and labels [2000] of one of `SAMPLES`.

  200 images of each of 10 classes, from the train split. Origin and licence stand next to
  the files.
  """
  resource = importlib.resources.files('mamljax.data') / 'sample' / f'{name}.npz'
  with importlib.resources.as_file(resource) as path:
    images, labels = npz.read(path, keys=('images', 'labels'))
  return images, labels
