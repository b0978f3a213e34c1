"""IDX files are read exactly, or refused with what was expected and what was found."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mamljax.data import idx
from mamljax.data.idx import read_idx, read_labelled_images
from mamljax.errors import InputError

Encode = Callable[[np.ndarray], bytes]
ARRAY = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)


def write(path: Path, data: bytes) -> Path:
  """The path, now of a file with these bytes."""
  path.write_bytes(data)
  return path


@pytest.mark.parametrize('zipped', [False, True])
@pytest.mark.parametrize('shape', [(0, 3, 5), (2, 3, 5), (1, 1, 1)])
def test_round_trip(tmp_path: Path, idx_bytes: Encode, shape: tuple[int, ...], zipped: bool):
  """Else MNIST is not what its authors published."""
  array = np.resize(ARRAY, shape)
  data = idx_bytes(array)
  path = write(tmp_path / 'a.gz', gzip.compress(data) if zipped else data)
  np.testing.assert_array_equal(read_idx(path, dimensions=3), array)


@pytest.mark.parametrize(
  ('size', 'expected'), [(0, 16), (3, 16), (15, 16), (16, 46), (17, 46), (45, 46)]
)
@pytest.mark.parametrize('zipped', [False, True])
def test_truncated_file_is_refused(
  tmp_path: Path, idx_bytes: Encode, size: int, expected: int, zipped: bool
):
  """Else a broken download passes for a smaller or shifted data set."""
  data = idx_bytes(ARRAY)[:size]
  path = write(tmp_path / 'images', gzip.compress(data) if zipped else data)
  with pytest.raises(InputError, match=rf'{path} is truncated: .*{expected}.*found {size}$'):
    read_idx(path, dimensions=3)


@pytest.mark.parametrize('cut', [1, 8, 12, 30])
def test_truncated_gzip_is_refused(tmp_path: Path, idx_bytes: Encode, cut: int):
  """Else a download that broke off would end in a traceback."""
  path = write(tmp_path / 'images.gz', gzip.compress(idx_bytes(ARRAY))[:-cut])
  with pytest.raises(InputError, match=f'cannot read {path}'):
    read_idx(path, dimensions=3)


def test_damaged_gzip_is_refused(tmp_path: Path, idx_bytes: Encode):
  """Else flipped bits become pixels."""
  data = bytearray(gzip.compress(idx_bytes(ARRAY)))
  data[-6] ^= 1  # in the checksum
  with pytest.raises(InputError, match='CRC'):
    read_idx(write(tmp_path / 'images.gz', bytes(data)), dimensions=3)


def test_trailing_bytes_are_refused(tmp_path: Path, idx_bytes: Encode):
  """Else a header that does not fit its data goes unnoticed."""
  path = write(tmp_path / 'images', idx_bytes(ARRAY) + b'\0')
  with pytest.raises(InputError, match=r'too long: 2 x 3 x 5 .* 46, found 47'):
    read_idx(path, dimensions=3)


@pytest.mark.parametrize('magic', ['00000801', '00000b03', '08030000', '89504e47'])
def test_wrong_magic_is_refused(tmp_path: Path, idx_bytes: Encode, magic: str):
  """Else labels, 16-bit data or a PNG would be read as images."""
  path = write(tmp_path / 'images', bytes.fromhex(magic) + idx_bytes(ARRAY)[4:])
  with pytest.raises(InputError, match=f'{path} .* expected .* 00000803, found {magic}'):
    read_idx(path, dimensions=3)


def test_missing_file_is_named(tmp_path: Path):
  """Else the user does not know which of four files to look for."""
  with pytest.raises(InputError, match=f'no train-images-idx3-ubyte.gz .* folder {tmp_path}'):
    read_labelled_images(tmp_path, stem='train', classes=10)


@pytest.mark.parametrize('labels', [3, 1])
def test_labels_must_fit_the_images(tmp_path: Path, idx_bytes: Encode, labels: int):
  """Else every label after the gap belongs to another image."""
  write(tmp_path / 'train-images-idx3-ubyte', idx_bytes(ARRAY))
  write(tmp_path / 'train-labels-idx1-ubyte', idx_bytes(np.zeros(labels)))
  with pytest.raises(InputError, match=f'2 images, .* {labels} labels'):
    read_labelled_images(tmp_path, stem='train', classes=10)


def test_labels_must_be_classes(tmp_path: Path, idx_bytes: Encode):
  """Else a data set gets a class that it does not have."""
  write(tmp_path / 'train-images-idx3-ubyte', idx_bytes(ARRAY))
  path = write(tmp_path / 'train-labels-idx1-ubyte', idx_bytes(np.array([9, 10])))
  with pytest.raises(InputError, match=rf'{path} has the label 10: expected 0\.\.9'):
    read_labelled_images(tmp_path, stem='train', classes=10)


def test_a_bomb_is_refused_before_it_fills_memory(
  tmp_path: Path, idx_bytes: Encode, monkeypatch: pytest.MonkeyPatch
):
  """A megabyte of gzip could become a gigabyte of zeros."""
  monkeypatch.setattr(idx, 'MAX_BYTES', 1000)
  path = write(tmp_path / 'images.gz', gzip.compress(idx_bytes(np.zeros((100, 10, 10)))))
  with pytest.raises(InputError, match=f'cannot read {path}: it has more than 1000 bytes'):
    read_idx(path, dimensions=3)
