"""One door to every source of images."""

import math
import os
from pathlib import Path

import numpy as np

from mamljax import machine
from mamljax.data import npz
from mamljax.data.cache import cached
from mamljax.data.dataset import Dataset, check_images, make_dataset
from mamljax.data.samples import SAMPLES, read_sample
from mamljax.errors import InputError

FILE = 'npz:'  # begins the name of a data set in a file of the user's
_INSTALL = "pip install 'mamljax[experiments]'"


def load_dataset(
  name: str,
  *,
  data_dir: str | os.PathLike[str] | None = None,
  image_size: int | None = None,
  channels: int | None = None,
) -> Dataset:
  """The data set of this name: the same images in the same order every time.

  Args:
    name: one of
      `mnist_sample`, `fashion_mnist_sample`: 200 images of each class, in the package;
      `npz:PATH`: the user's own `images` and `labels`, see `make_dataset`; never unpickled,
      ~ is the home folder;
      any image-classification data set of TensorFlow Datasets, such as `mnist`, `cifar10`,
      `emnist/balanced` or `omniglot`, prepared by `python -m experiments.prepare_data`:
      its train, validation and test splits together, decoded once and then kept as .npz in
      the folder `mamljax` of `data_dir`.
    data_dir: where TFDS keeps its data; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.
    image_size: height and width wanted, see `conversion.convert`; None keeps them.
    channels: 1 (grey) or 3 (colour); None keeps what is there.

  Raises:
    InputError: if there is no such data set (with the nearest names), it is not prepared
      (with the command that does), or its content is not valid. Nothing is downloaded.
  """
  if image_size is not None and image_size < 1:
    raise InputError(f'image_size must be 1 or more, not {image_size}')
  if channels not in (None, 1, 3):
    raise InputError(f'channels must be 1 or 3, not {channels}')
  if name in SAMPLES:
    images, labels = read_sample(name)
  elif name.startswith(FILE):
    images, labels = npz.read(file_of(name), keys=('images', 'labels'))
  else:
    images, labels = _read_tfds(
      name, data_dir=data_dir, image_size=image_size, channels=channels
    )
  images = check_images(name, images)
  return make_dataset(name, _convert(images, image_size, channels), labels)


def file_of(name: str) -> Path:
  """The path of the user's file that a data set is named by; ~ is the home folder."""
  try:
    return Path(name.removeprefix(FILE)).expanduser()
  except RuntimeError as error:
    raise InputError(f'{name}: {error}') from error


def file_state(name: str) -> tuple[int, ...]:
  """Size and time of the user's file that a data set is named by: a change of it shows here.

  () for other data sets, and where there is no such file: loading it will say so.
  """
  if not name.startswith(FILE):
    return ()
  try:
    told = file_of(name).stat()
  except OSError:
    return ()
  return told.st_size, told.st_mtime_ns


def _convert(images: np.ndarray, image_size: int | None, channels: int | None) -> np.ndarray:
  """The images as wanted; Pillow is imported only if there is something to do."""
  wanted = (image_size or images.shape[1], image_size or images.shape[2])
  if images.shape[1:] == (*wanted, channels or images.shape[3]):
    return images
  _require_memory(len(images), (*wanted, channels or images.shape[3]))
  try:
    from mamljax.data import conversion
  except ImportError as error:
    raise InputError(f'converting images needs Pillow: {_INSTALL}') from error
  return conversion.convert_all(images, image_size=image_size, channels=channels)


def _require_memory(count: int, shape: tuple[int, int, int]) -> None:
  """Refuses images of a size at which they fill the memory, before they are resized."""
  size, known = count * math.prod(shape), machine.memory_bytes()
  if known is not None and size > known:
    raise InputError(
      f'{count:,} images of {shape[0]} x {shape[1]} pixels need {size / 2**30:,.1f} GiB, and '
      f'there are {known / 2**30:,.1f}: give a smaller image_size'
    )


def _read_tfds(
  name: str,
  *,
  data_dir: str | os.PathLike[str] | None,
  image_size: int | None,
  channels: int | None,
) -> tuple[np.ndarray, np.ndarray]:
  """The images, converted, and labels of a prepared TFDS data set, by way of the cache."""
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
