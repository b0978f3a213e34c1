"""Reconstructions kept for pictures: OUT/examples/<hash>.npz, beside a cell's numbers."""

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from experiments.grid import Cell
from experiments.results import cell_hash
from mamljax import atomic


class Examples(NamedTuple):
  """The first trials of a cell in pictures.

  Attributes:
    candidates: uint8 [n, height, width, channels], the images asked about.
    reconstructions: the same shape, what the attack made of them.
  """

  candidates: np.ndarray
  reconstructions: np.ndarray


def make_examples(candidates: np.ndarray, reconstructions: np.ndarray) -> Examples:
  """Examples from float images in [0, 1]."""
  shown = (candidates, reconstructions)
  return Examples(*(np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8) for images in shown))


def write_examples(output_dir: str | os.PathLike[str], cell: Cell, examples: Examples) -> None:
  """Writes the file, whole or not at all."""
  path = _path(output_dir, cell)
  data = io.BytesIO()
  np.savez_compressed(data, **examples._asdict())
  atomic.write_bytes(path, data.getvalue(), private=True)


def read_examples(output_dir: str | os.PathLike[str], cell: Cell) -> Examples | None:
  """What `write_examples` wrote; None if there are no pictures, or no more."""
  path = _path(output_dir, cell)
  if not path.exists():
    return None
  try:
    with np.load(path, allow_pickle=False) as kept:
      return Examples(**kept)
  except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
    logging.warning('%s is damaged: set aside as %s', path, atomic.set_aside(path).name)
    return None


def _path(output_dir: str | os.PathLike[str], cell: Cell) -> Path:
  return Path(output_dir) / 'examples' / f'{cell_hash(cell)}.npz'
