"""Arrays in .npz files, never pickled, written atomically."""

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mamljax import atomic
from mamljax.errors import InputError
from mamljax.file_kinds import kind_of

MAX_BYTES = 4 << 30  # of an array; CIFAR-10 in float64 has 1.5 GB
_ARRAY = b'\x93NUMPY'  # the first bytes of an array in NumPy's format


def read(path: str | os.PathLike[str], *, keys: Sequence[str]) -> tuple[np.ndarray, ...]:
  """The arrays of some names, read to the end, so that their checksums are verified.

  Raises:
    InputError: if the path is not that of a readable file, the file is damaged or lacks one
      of the names, or an array holds pickled objects or more than `MAX_BYTES`.
  """
  with _opened(path) as file:
    found = set(file.namelist())
    members = [f'{key}.npy' if f'{key}.npy' in found else key for key in keys]
    missing = [key for key, name in zip(keys, members, strict=True) if name not in found]
    if missing:
      raise InputError(f'{path} has no {missing[0]!r}: it must hold {" and ".join(keys)}')
    return tuple(_array(file, name) for name in members)


def names(path: str | os.PathLike[str]) -> list[str]:
  """The names of the arrays, in the order of the file.

  Raises:
    InputError: if the path is not that of a readable .npz file.
  """
  with _opened(path) as file:
    return [name.removesuffix('.npy') for name in file.namelist()]


def write(path: str | os.PathLike[str], *, compress: bool, **arrays: np.ndarray) -> None:
  """Writes arrays under their names, atomically; equal arrays give equal bytes.

  Raises:
    InputError: if the folder cannot be written.
  """
  save: Any = np.savez_compressed if compress else np.savez
  save(buffer := io.BytesIO(), **arrays)
  atomic.write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
  """Context with an archive, in which whatever is wrong with it is an `InputError`."""
  try:
    with zipfile.ZipFile(atomic.regular(path, kind='.npz')) as file:
      yield file
  except InputError:
    raise
  # A damaged or hostile file makes zipfile, zlib and NumPy raise a dozen kinds of error.
  except Exception as error:
    reason = _hint(path) or (str(error) or type(error).__name__).splitlines()[0]
    raise InputError(f'cannot read {path} as .npz: {reason}') from error


def _array(file: zipfile.ZipFile, name: str) -> np.ndarray:
  """The array in a member of an archive, which must hold nothing else."""
  size = file.getinfo(name).file_size
  if size > MAX_BYTES:
    raise ValueError(f'{name} has {size / 2**30:.1f} GiB, at most {MAX_BYTES >> 30} are read')
  data = io.BytesIO(file.read(name))
  if data.getbuffer()[: len(_ARRAY)] != _ARRAY:
    raise ValueError(f'{name} is not an array: write it with numpy.savez')
  array = np.lib.format.read_array(data, allow_pickle=False)
  if excess := size - data.tell():
    raise ValueError(f'{name} has {excess} bytes more than its array')
  return array


def _hint(path: str | os.PathLike[str]) -> str:
  """Advice on a file of another kind that is recognised; '' for any other."""
  try:
    is_array = kind_of(atomic.regular(path)).name == 'npy'
  except OSError:
    return ''
  return 'it is a single array (.npy): numpy.savez keeps images and labels' if is_array else ''
