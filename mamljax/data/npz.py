"""Arrays in .npz files: never pickled, always whole."""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mamljax import atomic
from mamljax.errors import InputError


def read(path: str | os.PathLike[str], *, keys: Sequence[str]) -> tuple[np.ndarray, ...]:
  """The arrays of these names, their checksums verified.

  Raises:
    InputError: if the file cannot be read, is damaged, holds pickled objects, or lacks one
      of the names.
  """
  try:
    with open(path, 'rb') as opened, np.load(opened, allow_pickle=False) as file:
      missing = [key for key in keys if key not in file]
      arrays = () if missing else tuple(file[key] for key in keys)
  # A damaged or hostile file makes zipfile, zlib and NumPy raise a dozen kinds of error.
  except Exception as error:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise InputError(f'cannot read {path} as .npz: {reason}') from error
  if missing:
    raise InputError(f'{path} has no {missing[0]!r}: it must hold {" and ".join(keys)}')
  return arrays


def write(path: str | os.PathLike[str], *, compress: bool, **arrays: np.ndarray) -> None:
  """Writes the arrays under their names, atomically; equal arrays give equal bytes.

  Raises:
    InputError: if the folder cannot be written.
  """
  save: Any = np.savez_compressed if compress else np.savez
  save(buffer := io.BytesIO(), **arrays)
  atomic.write_bytes(path, buffer.getvalue())
