"""The samples of real images that ship with the package."""

import importlib.resources

import numpy as np

from mamljax.data import npz

SAMPLES = ('mnist_sample', 'fashion_mnist_sample')


def read_sample(name: str) -> tuple[np.ndarray, np.ndarray]:
  """The images, uint8 [2000, 28, 28, 1], and labels [2000] of a name in `SAMPLES`.

  200 images of each of 10 classes, from the train split; sample/ORIGIN.md has their origin and
  licence.
  """
  resource = importlib.resources.files('mamljax.data') / 'sample' / f'{name}.npz'
  with importlib.resources.as_file(resource) as path:
    images, labels = npz.read(path, keys=('images', 'labels'))
  return images, labels
