"""Data sets of TensorFlow Datasets, read without TensorFlow: the only module to import it.

Nothing here uses the network: a data set that is not on disk is an error at once, which TFDS
itself would first try to download.
"""

import contextlib
import difflib
import hashlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import constants

from mamljax.data import conversion
from mamljax.data.samples import SAMPLES
from mamljax.errors import InputError, unknown

# Other splits repeat images of these, as small1 and small2 of Omniglot do those of train.
_SPLITS = ('train', 'validation', 'test')
_CHUNK = 1024  # records read at once; one by one they take four times as long


def default_data_dir() -> Path:
  """The folder that TFDS itself uses: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
  return Path(constants.get_default_data_dir())


def find_builder(name: str, *, data_dir: str | os.PathLike[str] | None) -> Any:
  """The official builder (`tfds.core.DatasetBuilder`) of an image-classification data set.

  Args:
    name: the name in TFDS, `name` or `name/configuration`.
    data_dir: the folder of TFDS's data sets; None for `default_data_dir()`.

  Raises:
    InputError: if TFDS has no such data set (the message has the nearest names), or its
      examples are not images with one class each.
  """
  if name in SAMPLES:
    raise InputError(f'{name!r} ships with the package: there is nothing to prepare')
  base, _, config = name.partition('/')
  names = tfds.list_builders(with_community_datasets=False)
  with in_one_line(f'TFDS cannot open dataset {name!r} here'):
    cls = tfds.builder_cls(base) if base in names else None
    if cls is None or (config and not cls.builder_configs):
      nearest = difflib.get_close_matches(base, names)
      raise unknown('dataset', name, {*nearest, 'mnist', 'fashion_mnist', *SAMPLES, 'npz:PATH'})
    if config and config not in cls.builder_configs:
      raise unknown(f'configuration of {base}', config, cls.builder_configs)
    root = Path(data_dir) if data_dir else default_data_dir()
    builder = cls(data_dir=os.path.expanduser(root), config=config or None)
    if not _is_image_classification(builder.info):
      raise InputError(f'dataset {name!r} is not one of 8-bit images with one class each')
    return builder


@contextlib.contextmanager
def in_one_line(problem: str) -> Iterator[None]:
  """Silences TFDS on standard output, and turns its errors into an `InputError`.

  That is any error: TFDS, its builders, archives and the network raise very many kinds.
  """
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  except InputError:
    raise
  except Exception as error:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise InputError(f'{problem}: {reason}') from error


def show_bars(shown: bool) -> None:
  """Turns TFDS's progress bars on or off: in a log they are lines without end."""
  tfds.display_progress_bar(shown)


def is_prepared(builder: Any) -> bool:
  """Tests whether the whole data set is on disk."""
  # TFDS logs a warning when the folder is not there.
  return builder.data_path.exists() and builder.is_prepared()


def require_prepared(
  builder: Any, *, name: str, data_dir: str | os.PathLike[str] | None
) -> None:
  """Refuses a data set that cannot be read, with the command that prepares it."""
  if not is_prepared(builder):
    option = f' --data_dir={data_dir}' if data_dir else ''
    raise InputError(
      f'dataset {name!r} is not in {builder.data_path}: '
      f'run `python -m experiments.prepare_data --datasets={name}{option}`'
    )
  if (file_format := builder.info.file_format.value) != 'array_record':
    raise InputError(
      f'{builder.data_path} holds {name!r} as {file_format}, which only TensorFlow reads: '
      'prepare it in another --data_dir'
    )


def fingerprint(builder: Any) -> str:
  """A hash of the prepared files' names, sizes and modification times."""
  files = [(p.name, p.stat()) for p in sorted(Path(builder.data_path).iterdir())]
  state = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
  return hashlib.sha256(repr(state).encode()).hexdigest()


def cache_path(builder: Any, *, image_size: int | None, channels: int | None) -> Path:
  """The path of the cache file for the decoded images of a data set."""
  size = [f'{image_size}px'] if image_size else []
  depth = [f'{channels}ch'] if channels else []
  name = '-'.join([*builder.info.full_name.split('/'), *size, *depth])
  return Path(builder.data_dir_root) / 'mamljax' / f'{name}.npz'


def read_images(
  builder: Any, *, image_size: int | None, channels: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """All images of the train, validation and test splits or, without any, of all splits.

  Args:
    builder: the builder of a prepared data set; images without a class are left out.
    image_size: new height and width, as in `conversion.convert`; None keeps the size, which
      must then be the same for all images.
    channels: 1 or 3; None keeps 1 channel and turns any other number into 3.

  Returns:
    uint8 images [n, height, width, channels] and integer labels [n], in TFDS's order.

  Raises:
    InputError: if images differ in size and `image_size` is None, or files are damaged.
  """
  image_key, label_key = builder.info.supervised_keys
  channels = channels or (1 if builder.info.features[image_key].shape[-1] == 1 else 3)
  images, labels = [], []
  for example in itertools.chain.from_iterable(_examples(builder, x) for x in _splits(builder)):
    # By Pillow: TFDS's own decoder reads 1-bit images, such as Omniglot's, as 0 and 1.
    image = Image.open(io.BytesIO(example[image_key]))
    images.append(conversion.convert(image, image_size=image_size, channels=channels))
    labels.append(example[label_key])
  if len(shapes := {image.shape for image in images}) > 1:
    raise InputError(f'images of {builder.name!r} have {len(shapes)} sizes: give an image_size')
  return np.stack(images), np.array(labels)


def num_classes(builder: Any) -> int:
  """The number of classes; 0 if it is known only after preparation."""
  return builder.info.features[builder.info.supervised_keys[1]].num_classes or 0


def count_labels(builder: Any) -> dict[str, np.ndarray]:
  """The number of images of each class in each split, counted on disk."""
  key, classes = builder.info.supervised_keys[1], num_classes(builder)
  return {
    split: np.bincount([x[key] for x in _examples(builder, split)], minlength=classes)
    for split in builder.info.splits
  }


def _is_image_classification(info: tfds.core.DatasetInfo) -> bool:
  """Tests whether the examples of a data set are pairs of a uint8 image and a class."""
  match info.supervised_keys:
    case (str(image), str(label)) if isinstance(info.features, tfds.features.FeaturesDict):
      kinds = type(info.features[image]), type(info.features[label])
      wanted = tfds.features.Image, tfds.features.ClassLabel
      return kinds == wanted and info.features[image].np_dtype == np.uint8
    case _:
      return False


def _splits(builder: Any) -> list[str]:
  """The names of the splits that are read."""
  return [split for split in _SPLITS if split in builder.info.splits] or [*builder.info.splits]


def _examples(builder: Any, split: str) -> Iterator[dict[str, Any]]:
  """The records of a split with a class, their images still encoded."""
  image_key, label_key = builder.info.supervised_keys
  decoders = {image_key: tfds.decode.SkipDecoding()}
  try:
    source = builder.as_data_source(split, decoders=decoders)
    for start in range(0, len(source), _CHUNK):
      records = source.__getitems__(range(start, min(start + _CHUNK, len(source))))
      yield from (record for record in records if record[label_key] >= 0)  # -1: no class
  except RuntimeError as error:  # array_record, for a file that is missing or damaged
    reason = str(error).splitlines()[0]
    raise InputError(
      f'{builder.data_path} is damaged: remove it and prepare it again ({reason})'
    ) from error
