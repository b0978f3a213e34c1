"""Reconstructed images of a cell, kept for pictures: OUT/examples/<hash>.npz."""

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from experiments.config.cell import Cell
from experiments.store import records
from experiments.store.cells import cell_hash
from mamljax import atomic
from mamljax.errors import InputError

_IMAGES = records.Array('u', 4)


class Examples(NamedTuple):
  """Images from the first trials of a cell.

  Attributes:
    candidates: the candidate images, uint8 [n, height, width, channels].
    reconstructions: the attack's reconstructions of the candidates, of the same shape.
  """

  candidates: np.ndarray
  reconstructions: np.ndarray


def make_examples(candidates: np.ndarray, reconstructions: np.ndarray) -> Examples:
  """Examples from float images in [0, 1]."""
  sets = (candidates, reconstructions)
  return Examples(*(np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8) for images in sets))


def write_examples(output_dir: str | os.PathLike[str], cell: Cell, examples: Examples) -> None:
  """Writes the examples of a cell, whole or not at all."""
  path = _path(output_dir, cell)
  data = io.BytesIO()
  np.savez_compressed(data, **examples._asdict())
  atomic.write_bytes(path, data.getvalue(), private=True)


def read_examples(output_dir: str | os.PathLike[str], cell: Cell) -> Examples | None:
  """The examples of a cell; None if there is no file, or it is damaged."""
  path = _path(output_dir, cell)
  try:
    return _parse(path.read_bytes())
  except FileNotFoundError:
    return None
  except OSError as error:
    logging.warning('cannot read %s: %s', path, error.strerror)
  except records.Unfit as error:
    logging.warning('%s is damaged (%s): %s', path, error, _set_aside(path))
  return None


def _parse(data: bytes) -> Examples:
  arrays = records.load_arrays(data, dict.fromkeys(Examples._fields, _IMAGES))
  shapes = {name: array.shape for name, array in arrays.items() if array is not None}
  if len({*shapes.values()}) > 1 or 0 in shapes['candidates']:
    raise records.Unfit(f'its arrays have shapes unfit for images: {shapes}')
  return Examples(**arrays)  # pyright: ignore[reportArgumentType]


def _set_aside(path: Path) -> str:
  """Renames a damaged file, and returns the outcome in words: its folder may be read-only."""
  try:
    return f'set aside as {atomic.set_aside(path).name}'
  except InputError as error:
    return str(error)


def _path(output_dir: str | os.PathLike[str], cell: Cell) -> Path:
  return Path(output_dir) / 'examples' / f'{cell_hash(cell)}.npz'
