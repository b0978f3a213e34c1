"""Cache of decoded images: an .npz file, replaced when its source has changed."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mamljax import atomic
from mamljax.data import npz
from mamljax.errors import InputError

Labelled = tuple[np.ndarray, np.ndarray]  # images and their labels

_logger = logging.getLogger(__name__)


def cached(path: Path, *, stamp: str, decode: Callable[[], Labelled]) -> Labelled:
  """The images and labels in a cache file or, without one, of `decode`, which are then cached.

  A damaged cache file is renamed, with a warning in the log. A cache file that cannot be
  written is no more than a warning, since the images are at hand.

  Args:
    path: the cache file.
    stamp: the state of the source; a cache with another stamp is replaced.
    decode: the function that reads the source.
  """
  labelled = _read(path, stamp=stamp)
  if labelled is not None:
    return labelled
  images, labels = decode()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    npz.write(path, compress=False, images=images, labels=labels, stamp=np.array(stamp))
  except (InputError, OSError) as error:
    _logger.warning('the decoded images are not cached: %s', error)
  return images, labels


def _read(path: Path, *, stamp: str) -> Labelled | None:
  """The cached images and labels, or None if the file is absent, damaged or outdated."""
  if not path.exists():
    return None
  try:
    images, labels, cached_stamp = npz.read(path, keys=('images', 'labels', 'stamp'))
  except InputError as error:
    _logger.warning('%s; renamed %s, decoded again', error, atomic.set_aside(path).name)
    return None
  return (images, labels) if str(cached_stamp) == stamp else None
