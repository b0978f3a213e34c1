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
  """The images and labels in the cache file, or else those of `decode`, which are kept.

  A damaged cache is set aside and named in the log. A cache that cannot be written is
  only logged: the images are there all the same.

  Args:
    path: the cache file.
    stamp: identifies the state of the source; a cache with another stamp is replaced.
    decode: reads the source.
  """
  kept = _read(path, stamp=stamp)
  if kept is not None:
    return kept
  images, labels = decode()
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    npz.write(path, compress=False, images=images, labels=labels, stamp=np.array(stamp))
  except (InputError, OSError) as error:
    _logger.warning('the decoded images are not kept: %s', error)
  return images, labels


def _read(path: Path, *, stamp: str) -> Labelled | None:
  """The cached images and labels, or None if the file is absent, damaged or outdated."""
  if not path.exists():
    return None
  try:
    images, labels, found = npz.read(path, keys=('images', 'labels', 'stamp'))
  except InputError as error:
    _logger.warning('%s; kept as %s, made again', error, atomic.set_aside(path).name)
    return None
  return (images, labels) if str(found) == stamp else None
