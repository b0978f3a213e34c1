"""Tiny data sets on disk."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def _idx_bytes(array: np.ndarray) -> bytes:
  """The array as an IDX file of unsigned bytes, written from the format's description."""
  sizes = b''.join(int(n).to_bytes(4, 'big') for n in array.shape)
  return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
  """Encodes an array as IDX."""
  return _idx_bytes


@pytest.fixture
def images() -> np.ndarray:
  """50 different images, uint8 [50, 28, 28, 1]; the first 10 show their index in a corner."""
  images = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 1), np.uint8)
  images[:10, 0, 0, 0] = range(10)
  return images


@pytest.fixture
def labels() -> np.ndarray:
  """0..9, five times: the first 30 are a train split, the other 20 a test split."""
  return np.tile(np.arange(10), 5)


@pytest.fixture
def write_idx() -> Callable[..., None]:
  """Writes the four files of a data set, of 30 and the remaining images, as published."""

  def write(folder: Path, images: np.ndarray, labels: np.ndarray, *, zipped: bool = True):
    folder.mkdir(parents=True)
    for stem, part in (('train', slice(30)), ('t10k', slice(30, None))):
      for kind, array in (('images-idx3', images[part, ..., 0]), ('labels-idx1', labels[part])):
        data = _idx_bytes(array)
        path = folder / f'{stem}-{kind}-ubyte{".gz" if zipped else ""}'
        path.write_bytes(gzip.compress(data) if zipped else data)

  return write


@pytest.fixture
def idx_dir(
  tmp_path: Path, images: np.ndarray, labels: np.ndarray, write_idx: Callable[..., None]
) -> Path:
  """A folder with the 50 images as MNIST and, not gzipped, as Fashion-MNIST."""
  write_idx(tmp_path / 'idx' / 'mnist', images, labels)
  write_idx(tmp_path / 'idx' / 'fashion_mnist', images, labels, zipped=False)
  return tmp_path / 'idx'


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
  """Saves arrays as .npz and gives the name for `load_dataset`."""

  def save(**arrays: np.ndarray) -> str:
    np.savez(tmp_path / 'mine.npz', allow_pickle=True, **arrays)
    return f'npz:{tmp_path / "mine.npz"}'

  return save
