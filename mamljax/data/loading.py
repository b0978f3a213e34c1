"""Loading of data sets by name: from the package, from TFDS or from a file."""

import math
import os
from pathlib import Path

import numpy as np

from mamljax.data import main_memory, npz
from mamljax.data.cache import cached
from mamljax.data.dataset import Dataset, check_images, make_dataset
from mamljax.data.samples import SAMPLES, read_sample
from mamljax.errors import InputError

FILE = 'npz:'  # prefix of the name of a data set in the user's own file
_INSTALL = "pip install 'mamljax[experiments]'"


def load_dataset(
  name: str,
  *,
  data_dir: str | os.PathLike[str] | None = None,
  image_size: int | None = None,
  channels: int | None = None,
) -> Dataset:
  """The data set of a name, with the same images in the same order every time.

  Args:
    name: one of
      `mnist_sample`, `fashion_mnist_sample`: 200 images of each class, in the package;
      `npz:PATH`: `images` and `labels` in the user's own file, as in `make_dataset`; never
      unpickled; ~ is the home folder;
      any image-classification data set of TensorFlow Datasets, such as `mnist`, `cifar10`,
      `emnist/balanced` or `omniglot`, prepared by `python -m experiments.prepare_data`: the
      union of its train, validation and test splits, decoded once and then cached as .npz in
      the folder `mamljax` of `data_dir`.
    data_dir: the folder of TFDS's data; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
    image_size: new height and width, as in `conversion.convert`; None keeps them.
    channels: 1 (grey) or 3 (colour); None keeps the channels.

  Raises:
    InputError: if there is no such data set (the message has the nearest names), it is not
      prepared (the message has the command), or its content is not valid. Nothing is
      downloaded.
  """
  if image_size is not None and image_size < 1:
    raise InputError(f'image_size must be 1 or more, not {image_size}')
  if channels not in (None, 1, 3):
    raise InputError(f'channels must be 1 or 3, not {channels}')
  if name in SAMPLES:
    images, labels = read_sample(name)
  elif name.startswith(FILE):
    images, labels = npz.read(file_of(name), keys=('images', 'labels'))
  elif is_path(name):
    raise InputError(f'{name!r} is no name of a data set: a file is {FILE}{name}')
  else:
    images, labels = _read_tfds(
      name, data_dir=data_dir, image_size=image_size, channels=channels
    )
  images = check_images(name, images)
  return make_dataset(name, _convert(images, image_size, channels), labels)


def file_of(name: str) -> Path:
  """The path in the name of a data set in the user's own file; ~ is the home folder."""
  try:
    return Path(name.removeprefix(FILE)).expanduser()
  except RuntimeError as error:
    raise InputError(f'{name}: {error}') from error


def is_path(name: str) -> bool:
  """Tests whether the name of a data set is rather a path, without the prefix of a file.

  >>> is_path('x.npz'), is_path('./x'), is_path('emnist/balanced')
  (True, True, False)
  """
  return name.endswith('.npz') or name.startswith(('.', '/', '~')) or Path(name).is_file()


def file_state(name: str) -> tuple[int, ...]:
  """The size and modification time of the user's own file, by which a change is noticed.

  () for data sets in no such file, and for a file that is absent, which loading reports.
  """
  if not name.startswith(FILE):
    return ()
  try:
    status = file_of(name).stat()
  except OSError:
    return ()
  return status.st_size, status.st_mtime_ns


def _convert(images: np.ndarray, image_size: int | None, channels: int | None) -> np.ndarray:
  """The images with a given size and channels; imports Pillow only for a real change."""
  height, width, depth = images.shape[1:]
  new_shape = (image_size or height, image_size or width, channels or depth)
  if images.shape[1:] == new_shape:
    return images
  _require_memory(len(images), new_shape)
  try:
    from mamljax.data import conversion
  except ImportError as error:
    raise InputError(f'converting images needs Pillow: {_INSTALL}') from error
  return conversion.convert_all(images, image_size=image_size, channels=channels)


def _require_memory(count: int, shape: tuple[int, int, int]) -> None:
  """Refuses a number and size of images that exceed the memory, before any is resized."""
  needed, available = count * math.prod(shape), main_memory.memory_bytes()
  if available is not None and needed > available:
    raise InputError(
      f'{count:,} images of {shape[0]} x {shape[1]} pixels need {needed / 2**30:,.1f} GiB, and '
      f'there are {available / 2**30:,.1f}: give a smaller image_size'
    )


def _read_tfds(
  name: str,
  *,
  data_dir: str | os.PathLike[str] | None,
  image_size: int | None,
  channels: int | None,
) -> tuple[np.ndarray, np.ndarray]:
  """The converted images and the labels of a prepared TFDS data set, through the cache."""
  try:
    from mamljax.data import tfds_source
  except ImportError as error:
    raise InputError(f'dataset {name!r} needs {error.name}: {_INSTALL}') from error
  builder = tfds_source.find_builder(name, data_dir=data_dir)
  tfds_source.require_prepared(builder, name=name, data_dir=data_dir)
  if image_size:
    count = sum(split.num_examples for split in builder.info.splits.values())
    _require_memory(count, (image_size, image_size, channels or 1))
  return cached(
    tfds_source.cache_path(builder, image_size=image_size, channels=channels),
    stamp=tfds_source.fingerprint(builder),
    decode=lambda: tfds_source.read_images(builder, image_size=image_size, channels=channels),
  )
