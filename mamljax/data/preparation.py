"""Preparation of TFDS data sets from the network or from IDX files, without TensorFlow."""

import contextlib
import os
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mamljax.data import idx, tfds_source
from mamljax.data.cache import Labelled
from mamljax.data.conversion import from_array
from mamljax.data.no_tensorflow import without_tensorflow
from mamljax.errors import InputError

_STEMS = {'train': 'train', 'test': 't10k'}  # a split in TFDS: in the names of IDX files


class Prepared(NamedTuple):
  """A data set on disk whose content was verified.

  Attributes:
    folder: the folder of its files.
    new: True if the data set was written by this call, False if it was there.
    counts: the number of images of each class, [classes], in each split.
  """

  folder: Path
  new: bool
  counts: dict[str, np.ndarray]


def prepare(
  name: str,
  *,
  data_dir: str | os.PathLike[str] | None,
  idx_dir: str | os.PathLike[str] | None,
) -> Prepared:
  """Prepares a data set as TFDS does, in array_record files, unless it is on disk already.

  The folder gets its name only when it is complete. The images of each class are then counted
  on disk and compared with the source, unless the source is a download of an earlier time.

  Args:
    name: the name of the data set in TFDS, such as 'mnist'.
    data_dir: the folder of TFDS's data sets; None for TFDS's default.
    idx_dir: the folder of `<name>/train-images-idx3-ubyte.gz` and its three companions, with
      or without `.gz`; None downloads from the addresses in the official builder.

  Raises:
    InputError: if the data set is unknown, the source is unavailable or damaged, the folder
      cannot be written, or the images on disk are not those of the source.
  """
  official = tfds_source.find_builder(name, data_dir=data_dir)
  if idx_dir is None:
    builder = _derive(official, _FromNetwork, labels=[])
  else:
    splits = _read_idx_files(official, Path(os.path.expanduser(idx_dir)) / name)
    labels = np.concatenate([labels for _, labels in splits.values()]).tolist()
    builder = _derive(official, _FromIdx, arrays=splits, labels=labels)
  new = not tfds_source.is_prepared(official)
  if new:
    _write(builder, name=name)
  tfds_source.require_prepared(builder, name=name, data_dir=data_dir)
  folder, counts = Path(builder.data_path), tfds_source.count_labels(builder)
  expected = np.bincount(builder.labels, minlength=tfds_source.num_classes(builder))
  if builder.labels and not np.array_equal(sum(counts.values()), expected):
    raise InputError(f'{folder} does not hold what its source does: remove it and run again')
  return Prepared(folder, new, counts)


class _FromIdx:
  """A mixin that makes an official builder take its examples from arrays."""

  info: Any
  arrays: dict[str, Labelled]

  def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
    del dl_manager
    return {split: self._generate_examples(*self.arrays[split]) for split in self.arrays}

  def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator:
    keys = self.info.supervised_keys
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
      yield index, dict(zip(keys, (from_array(image), int(label)), strict=True))


class _FromNetwork:
  """A mixin that makes an official builder record its labels, and encode arrays by Pillow."""

  info: Any
  labels: list[int]  # of every example with a class; without one the label is -1

  def _generate_examples(self, *args: Any, **kwargs: Any) -> Iterator:
    image_key, label_key = self.info.supervised_keys
    official: Any = super()
    for index, example in official._generate_examples(*args, **kwargs):
      label = self.info.features[label_key].encode_example(example[label_key])
      self.labels += [label] if label >= 0 else []
      image = example[image_key]
      if isinstance(image, np.ndarray):
        image = from_array(image)
      yield index, {**example, image_key: image}


def _derive(official: Any, mixin: type, **attributes: Any) -> Any:
  """A builder like the official one, with its name and the methods of a mixin.

  Its module is that of the official builder, by which TFDS finds the checksums of downloads.
  """
  cls = type(official)
  namespace = {'__module__': cls.__module__, 'name': cls.name, **attributes}
  derived: Any = types.new_class(
    cls.__name__, (mixin, cls), {'skip_registration': True}, lambda body: body.update(namespace)
  )
  return derived(data_dir=official.data_dir_root, config=official.builder_config)


def _read_idx_files(official: Any, folder: Path) -> dict[str, Labelled]:
  """The images [n, height, width, 1] and labels of each split."""
  shape = official.info.features[official.info.supervised_keys[0]].shape
  splits = {}
  for split, stem in _STEMS.items():
    images, labels = idx.read_labelled_images(
      folder, stem=stem, classes=tfds_source.num_classes(official)
    )
    if (*images.shape[1:], 1) != shape:
      raise InputError(
        f'{folder} has images of {list(images.shape[1:])}: {official.name!r} has {list(shape)}'
      )
    splits[split] = images[..., None], labels
  return splits


def _write(builder: Any, *, name: str) -> None:
  """Downloads and writes the data set; any failure becomes one line."""
  if builder.data_path.exists():  # TFDS would take the folder for the data set
    raise InputError(f'{builder.data_path} is not a whole data set: remove it and run again')
  module, root = type(builder).__module__, Path(builder.data_dir_root)
  tfds_source.show_bars(sys.stderr is not None and sys.stderr.isatty())
  with (
    _without_empty_folders(root),
    tfds_source.in_one_line(f'could not prepare {name!r}'),
    without_tensorflow(module),
  ):
    builder.download_and_prepare(file_format='array_record')


@contextlib.contextmanager
def _without_empty_folders(root: Path) -> Iterator[None]:
  """Removes empty folders that were made in `root` inside the context, if it fails."""
  before = {*_folders(root), *(path for path in (root, *root.parents) if path.exists())}
  try:
    yield
  except BaseException:
    _remove_empty(path for path in (*_folders(root), root, *root.parents) if path not in before)
    raise


def _remove_empty(folders: Iterable[Path]) -> None:
  for path in folders:
    with contextlib.suppress(OSError):  # not empty: it may hold part of a download
      path.rmdir()


def _folders(root: Path) -> list[Path]:
  """All folders below a folder, each after the folders inside it."""
  return [Path(path) for path, *_ in os.walk(root, topdown=False) if Path(path) != root]
