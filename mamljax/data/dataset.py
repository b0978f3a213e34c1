"""Labelled images in an order fixed by their content, and disjoint pools of them."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mamljax.errors import InputError
from mamljax.types import Pool


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """Labelled images, sorted by class and, within a class, by a hash of their content.

  The order depends on the images alone, not on their order in the source. No two images are
  equal. `make_dataset` makes a data set.

  Attributes:
    name: the name for `load_dataset`.
    images: uint8 [n, height, width, channels], read-only.
    labels: int32 [n], ascending, each of 0..num_classes-1 at least once; read-only.
    duplicates: the number of images of the source that were left out as exact copies.
    classes: the label of each class in the source, ascending integers [num_classes].
    vanished: labels in the source whose images were all copies of others.
  """

  name: str
  images: np.ndarray
  labels: np.ndarray
  duplicates: int
  classes: np.ndarray
  vanished: tuple[int, ...]

  @property
  def num_classes(self) -> int:
    """The number of classes."""
    return len(self.counts)

  @property
  def counts(self) -> np.ndarray:
    """The number of images of each class: integers [num_classes]."""
    return np.bincount(self.labels)

  @functools.cached_property
  def fingerprint(self) -> str:
    """The first 16 hexadecimal digits of a SHA-256 of the images, their shape and labels."""
    digest = hashlib.sha256(repr(self.images.shape).encode())
    digest.update(np.ascontiguousarray(self.images).data)
    digest.update(np.ascontiguousarray(self.labels).data)
    return digest.hexdigest()[:16]

  def left_out(self) -> str:
    """A remark on the copies that were left out, for messages; '' without copies."""
    if not self.duplicates:
      return ''
    labels = ', '.join(map(str, self.vanished))
    whole_classes = f', all of class {labels}' if labels else ''
    return f' (exact copies of other images were left out: {self.duplicates}{whole_classes})'


class Splits(NamedTuple):
  """Disjoint parts of a data set, each with images of every class.

  Attributes:
    training: the images for meta-training.
    references: public images, known to the adversary.
    calibration: the images of the trials that decision thresholds are chosen on.
    victims: the images that are attacked.
  """

  training: Pool
  references: Pool
  calibration: Pool
  victims: Pool


def make_dataset(name: str, images: np.ndarray, labels: np.ndarray) -> Dataset:
  """A data set from images and labels in any order.

  Exact copies of an image are left out, so that no image is in two pools; of copies with
  different labels the one with the lowest label stays. Classes are numbered 0, 1, ... in the
  order of their labels, without gaps.

  Args:
    name: the name of the data set.
    images: [n, height, width] or [n, height, width, 1 or 3]; integers in 0..255, some of
      them above 1, or floats in [0, 1], which are rounded to multiples of 1/255.
    labels: [n] integers, 0 or more.

  Raises:
    InputError: if the images or labels are anything else.
  """
  images = check_images(name, images)
  return arrange(name, images, _check_labels(name, labels, count=len(images)))


def arrange(name: str, images: np.ndarray, labels: np.ndarray) -> Dataset:
  """The data set of images, or of vectors, that are checked: sorted, without exact copies.

  Args:
    name: the name of the data set.
    images: [n, ...], of any type of numbers.
    labels: [n] integers, 0 or more.
  """
  high, low = content_hashes(images).T
  by_content = np.lexsort((labels, low, high))
  # Copies stand side by side in this order, that with the lowest label first.
  is_first = np.ones(len(images), bool)
  is_first[1:] = (np.diff(high[by_content]) != 0) | (np.diff(low[by_content]) != 0)
  kept = by_content[is_first]
  kept = kept[np.argsort(labels[kept], kind='stable')]
  classes, compact = np.unique(labels[kept], return_inverse=True)
  vanished = tuple(np.setdiff1d(labels, classes).tolist())
  sorted_images, sorted_labels = images[kept], compact.astype(np.int32)
  sorted_images.flags.writeable = sorted_labels.flags.writeable = False
  copies = len(images) - len(kept)
  return Dataset(name, sorted_images, sorted_labels, copies, classes, vanished)


def check_images(name: str, images: np.ndarray) -> np.ndarray:
  """The images as uint8 [n, height, width, channels], checked as `make_dataset` says."""
  if images.ndim == 3:
    images = images[..., None]
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.size == 0:
    raise InputError(
      f'{name}: images must be [n, height, width] or [n, height, width, 1 or 3], '
      f'not {list(images.shape)}'
    )
  if images.dtype.kind not in 'iuf':
    raise InputError(f'{name}: images must be numbers, not {images.dtype}')
  if images.dtype.kind in 'iu' and images.max() == 1:
    raise InputError(
      f'{name}: pixels are 0 and 1 in {images.dtype}, in which 255 is white: save them as '
      'floats, or 255 times as large'
    )
  if images.dtype == np.uint8:
    return images
  limit = 1 if images.dtype.kind == 'f' else 255
  # Negated, so that NaN counts as outside.
  outside = ~((images >= 0) & (images <= limit))
  if outside.any():
    raise InputError(
      f'{name}: {outside.sum()} pixels are outside 0..{limit}, as {images.dtype} must be; '
      f'the first is {images[outside][0]}'
    )
  return np.rint(images * 255.0).astype(np.uint8) if limit == 1 else images.astype(np.uint8)


def split_dataset(
  dataset: Dataset, *, seed: int, fractions: Sequence[float] = (0.4, 0.2, 0.15, 0.25)
) -> Splits:
  """Disjoint pools of a data set, each with a fraction of every class, fixed by a seed.

  The images of class c, in the data set's order, are ranked by the first raw 64-bit outputs
  of NumPy's PCG64 seeded with [seed, c], and divided by rank. NumPy promises to keep that
  stream, and it does not depend on the other classes.

  Args:
    dataset: the data set to divide.
    seed: the seed, 0 or more.
    fractions: the fractions of training, references, calibration and victims; at most 1 in
      sum.

  Returns:
    Pools of NumPy arrays. Numbers of images are rounded, so that a pool may have none of a
    class with fewer images than 1 / fraction.

  Raises:
    InputError: if the fractions or the seed are not as above.
  """
  if len(fractions) != 4 or min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
    raise InputError(f'fractions must be 4, none negative, at most 1 in sum, not {fractions}')
  if seed < 0:
    raise InputError(f'seed must be 0 or more, not {seed}')
  parts: list[list[np.ndarray]] = [[] for _ in fractions]
  ends = np.cumsum(dataset.counts)
  for label, (count, end) in enumerate(zip(dataset.counts, ends, strict=True)):
    ranks = np.argsort(np.random.PCG64([seed, label]).random_raw(count), kind='stable')
    cuts = np.rint(np.cumsum(fractions) * count).astype(int)
    for part, rows in zip(parts, np.split(end - count + ranks, cuts), strict=False):
      part.append(rows)
  return Splits(*(pool_of(dataset.images, rows) for rows in parts))


def pool_of(images: np.ndarray, rows: Sequence[np.ndarray]) -> Pool:
  """The pool of some rows of images, given class by class, as arrays of NumPy."""
  counts = np.array([len(x) for x in rows], np.int32)
  # A Pool's fields are typed as jax.Array, which these become on a device.
  arrays: Any = images[np.concatenate(rows)], np.cumsum(counts, dtype=np.int32) - counts, counts
  return Pool(*arrays)


def _check_labels(name: str, labels: np.ndarray, *, count: int) -> np.ndarray:
  """The labels, checked: integers, 0 or more, one for each image."""
  if labels.shape != (count,):
    raise InputError(f'{name}: {count} images need labels [{count}], not {list(labels.shape)}')
  if labels.dtype.kind not in 'iu':
    raise InputError(f'{name}: labels must be integers, not {labels.dtype}')
  if labels.min() < 0:
    raise InputError(f'{name}: labels must be 0 or more, found {labels.min()}')
  return labels


def content_hashes(images: np.ndarray) -> np.ndarray:
  """Hashes of the images, 128 bits of BLAKE2b, as two integers each: uint64 [n, 2]."""
  rows = np.ascontiguousarray(images).reshape(len(images), -1)
  digests = b''.join(hashlib.blake2b(row.data, digest_size=16).digest() for row in rows)
  return np.frombuffer(digests, '>u8').reshape(-1, 2).astype(np.uint64)
