"""Kinds of files that hold arrays, told by their first bytes, and what reads each of them."""

import os
import zipfile
from typing import NamedTuple


class FileKind(NamedTuple):
  """A kind of file.

  Attributes:
    name: such as 'npz'; '' for a kind that is not known.
    what: the kind in words.
    reader: what reads it, for a message.
  """

  name: str
  what: str
  reader: str


UNKNOWN = FileKind('', 'of an unknown kind', '')
SEALED = FileKind('mamljax', 'a checkpoint of mamljax', 'mamljax.checkpoints.load')
_NPZ = FileKind('npz', 'a NumPy archive (.npz)', 'mamljax.io.load')
_NPY = FileKind('npy', 'a single NumPy array (.npy)', 'numpy.load')
_SAFETENSORS = FileKind('safetensors', 'a safetensors file', 'mamljax.io.load')
_TORCH = FileKind('torch', "PyTorch's (.pt, .pth)", 'mamljax.io.load')
_OLD_TORCH = FileKind(
  'pickle',
  "a pickle, as PyTorch's before 1.6",
  'nothing here: save its arrays by numpy.savez',
)
_HDF5 = FileKind('hdf5', 'HDF5, as of Keras', 'h5py: save its arrays by numpy.savez')
_ORBAX = FileKind('folder', 'a folder, as of Orbax', 'orbax.checkpoint')
_GZIP = FileKind('gzip', 'compressed by gzip', 'gzip: decompress it')
_ZIP = FileKind('zip', 'a zip archive without arrays', '')


def kind_of(path: str | os.PathLike[str]) -> FileKind:
  """The kind of a file or folder, whatever its name says.

  Raises:
    OSError: if it cannot be read.
  """
  if os.path.isdir(path):
    return _ORBAX
  with open(path, 'rb') as file:
    head = file.read(9)
  for start, kind in (
    (b'mamljax\n', SEALED),
    (b'\x93NUMPY', _NPY),
    (b'\x89HDF', _HDF5),
    (b'\x1f\x8b', _GZIP),
  ):
    if head.startswith(start):
      return kind
  if head.startswith(b'PK'):
    return _archive(path)
  # A safetensors file begins with the length of a JSON object, a pickle with its protocol.
  if len(head) == 9 and head[8:] == b'{' and int.from_bytes(head[:8], 'little') < 10**8:
    return _SAFETENSORS
  return _OLD_TORCH if head[:1] == b'\x80' and head[1:2] in b'\2\3\4\5' else UNKNOWN


def _archive(path: str | os.PathLike[str]) -> FileKind:
  """The kind of a zip archive, by what is in it."""
  try:
    with zipfile.ZipFile(path) as file:
      names = file.namelist()
  except (zipfile.BadZipFile, NotImplementedError):
    return _ZIP
  if any(name.rpartition('/')[2] == 'data.pkl' for name in names):
    return _TORCH
  return _NPZ if any(name.endswith('.npy') for name in names) else _ZIP
