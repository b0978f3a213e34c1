"""Reader of IDX, the format in which MNIST and its successors are published."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from mamljax import atomic
from mamljax.data.npz import MAX_BYTES
from mamljax.errors import InputError

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
  """The array in an IDX file of unsigned bytes, compressed by gzip or not.

  Args:
    path: the file; its first bytes, not its name, tell whether it is compressed.
    dimensions: the expected number of dimensions: 3 for images, 1 for labels.

  Returns:
    A uint8 array of the shape in the header.

  Raises:
    InputError: if the file cannot be read, is not an IDX file of unsigned bytes with that
      number of dimensions, or holds fewer or more bytes than its header says.
  """
  data = _uncompressed(path)
  header = 4 + 4 * dimensions
  if len(data) < header:
    raise InputError(f'{path} is truncated: its header needs {header} bytes, found {len(data)}')
  magic, expected = data[:4], bytes([0, 0, _UNSIGNED_BYTES, dimensions])
  if magic != expected:
    raise InputError(
      f'{path} is not the IDX file it should be: '
      f'expected the magic bytes {expected.hex()}, found {magic.hex()}'
    )
  shape = np.frombuffer(data, '>u4', count=dimensions, offset=4).tolist()
  expected_size = header + math.prod(shape)
  if len(data) != expected_size:
    state = 'is truncated' if len(data) < expected_size else 'is too long'
    raise InputError(
      f'{path} {state}: {" x ".join(map(str, shape))} bytes and the header '
      f'make {expected_size}, found {len(data)}'
    )
  return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_labelled_images(
  folder: Path, *, stem: str, classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """The images and labels of one split, from two files.

  Args:
    folder: the folder of `<stem>-images-idx3-ubyte` and `<stem>-labels-idx1-ubyte`, each
      with or without `.gz`.
    stem: the split's name in the names of the files: 'train' or 't10k' as published.
    classes: the number of classes.

  Returns:
    uint8 images [n, height, width] and uint8 labels [n] in 0..classes-1.

  Raises:
    InputError: as `read_idx`, and if the two files have different lengths or a label is out
      of range.
  """
  image_file = _find(folder, f'{stem}-images-idx3-ubyte')
  label_file = _find(folder, f'{stem}-labels-idx1-ubyte')
  images = read_idx(image_file, dimensions=3)
  labels = read_idx(label_file, dimensions=1)
  if len(images) != len(labels):
    raise InputError(
      f'{image_file} has {len(images)} images, {label_file} {len(labels)} labels'
    )
  if labels.size and labels.max() >= classes:
    raise InputError(f'{label_file} has the label {labels.max()}: expected 0..{classes - 1}')
  return images, labels


def _find(folder: Path, name: str) -> Path:
  """The path of `<name>.gz` or, if there is none, of `<name>`."""
  for path in (folder / f'{name}.gz', folder / name):
    if path.is_file():
      return path
  raise InputError(f'no {name}.gz and no {name} in the folder {folder}')


def _uncompressed(path: Path) -> bytes:
  """The content of a file, decompressed if it begins as gzip does."""
  try:
    data = atomic.regular(path).read_bytes()
    if data.startswith(b'\x1f\x8b'):
      data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MAX_BYTES + 1)
  except (OSError, EOFError, zlib.error) as error:
    raise InputError(f'cannot read {path}: {error}') from error
  if len(data) > MAX_BYTES:
    raise InputError(f'cannot read {path}: it has more than {MAX_BYTES} bytes')
  return data
