"""Files of the user's are read whole, or refused in one line that says what to do."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mamljax.data import load_dataset, npz
from mamljax.data.loading import file_state
from mamljax.errors import InputError


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'images': np.zeros((2, 4, 4))}, "has no 'labels'"),
    ({'x': np.zeros(2), 'labels': np.zeros(2)}, "has no 'images'"),
    ({'images': np.zeros((2, 4, 4), object), 'labels': np.zeros(2, int)}, 'allow_pickle=False'),
    ({'images': np.zeros((2, 4)), 'labels': np.zeros(2, int)}, r'not \[2, 4\]'),
    ({'images': np.full((2, 4, 4), np.nan), 'labels': np.zeros(2, int)}, 'pixels are outside'),
    ({'images': np.zeros((2, 4, 4)), 'labels': np.zeros(3, int)}, 'images need labels'),
  ],
)
def test_bad_file_is_refused(save: Callable[..., str], arrays: dict, message: str):
  """Else a mistake ends in a traceback; a pickle would run what its author wishes."""
  with pytest.raises(InputError, match=message) as caught:
    load_dataset(save(**arrays))
  assert 'mine.npz' in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'content',
  [b'', b'PK', b'PK\x03\x04' + bytes(40), b'no zip', pickle.dumps([1]), b'\x93NUMPY\x01\x00'],
)
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes):
  """Else it ends in a traceback."""
  path = tmp_path / 'mine.npz'
  path.write_bytes(content)
  with pytest.raises(InputError, match=f'cannot read {path}'):
    load_dataset(f'npz:{path}')


def test_single_array_is_refused(tmp_path: Path):
  """Else a .npy file ends in a traceback."""
  np.save(tmp_path / 'mine.npy', np.zeros((2, 4, 4)))
  with pytest.raises(InputError, match='cannot read'):
    load_dataset(f'npz:{tmp_path / "mine.npy"}')


def test_a_single_array_is_told_apart(tmp_path: Path):
  """A .npy got a sentence of Python's about what it does not support."""
  np.save(tmp_path / 'mine.npy', np.zeros((2, 4, 4)))
  with pytest.raises(InputError, match=r'it is a single array \(.npy\): numpy.savez keeps'):
    load_dataset(f'npz:{tmp_path / "mine.npy"}')


def rewrite(name: str, member: str, change: Callable[[bytes], bytes]):
  """Puts other bytes into a member of the archive, with the checksum of these."""
  path = Path(name.removeprefix('npz:'))
  with zipfile.ZipFile(path) as file:
    content = {each: file.read(each) for each in file.namelist()}
  content[member] = change(content[member])
  with zipfile.ZipFile(path, 'w') as file:
    for each, data in content.items():
      file.writestr(each, data)


def test_a_member_that_is_no_array_is_refused_in_words(save: Callable[..., str]):
  """ "'bytes' object has no attribute 'ndim'" was all that was said of it."""
  name = save(images=np.zeros((2, 4, 4)), labels=np.arange(2))
  rewrite(name, 'images.npy', lambda _: b'JPEG')
  with pytest.raises(InputError, match=r'images\.npy is not an array: write it with'):
    load_dataset(name)


def test_a_header_that_says_less_than_there_is_is_refused(save: Callable[..., str]):
  """One damaged byte made images of 11 x 11 of 10 x 11; the checksum was never reached."""
  name = save(images=np.zeros((2, 11, 11), np.uint8), labels=np.arange(2))
  rewrite(name, 'images.npy', lambda data: data.replace(b'(2, 11, 11)', b'(2, 10, 11)'))
  with pytest.raises(InputError, match=r'images\.npy has 22 bytes more than its'):
    load_dataset(name)
  path = Path(name.removeprefix('npz:'))
  np.savez(path, images=np.zeros((2, 11, 11), np.uint8), labels=np.arange(2))
  path.write_bytes(path.read_bytes().replace(b'(2, 11, 11)', b'(2, 10, 11)'))
  with pytest.raises(InputError, match='Bad CRC-32'):
    load_dataset(name)


def test_a_bomb_is_refused_before_it_fills_memory(
  save: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
  """A file of megabytes became 6.3 GB."""
  monkeypatch.setattr(npz, 'MAX_BYTES', 100)
  with pytest.raises(InputError, match=r'images.npy has .* GiB, at most .* are read'):
    load_dataset(save(images=np.zeros((2, 11, 11)), labels=np.arange(2)))


@pytest.mark.parametrize('name', ['/dev/zero', 'pipe'])
def test_what_never_ends_is_refused_before_it_is_opened(tmp_path: Path, name: str):
  """A device filled memory and a pipe waited for ever, with --dry_run too: for its digest."""
  path = tmp_path / name  # of an absolute name that name itself
  if name == 'pipe':
    os.mkfifo(path)
  with pytest.raises(InputError, match=f'cannot read {path} as .npz: it is a pipe'):
    load_dataset(f'npz:{path}')


def test_the_home_folder_is_known(
  save: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
  """'npz:~/mine.npz' was looked for in a folder named ~."""
  name = save(images=np.eye(16).reshape(-1, 4, 4), labels=np.arange(16))
  monkeypatch.setenv('HOME', str(tmp_path))
  assert load_dataset('npz:~/mine.npz').num_classes == 16
  assert file_state('npz:~/mine.npz') == file_state(name) != ()
  with pytest.raises(InputError, match=r'npz:~nosuchuser/mine\.npz: '):
    load_dataset('npz:~nosuchuser/mine.npz')


@pytest.mark.parametrize('name', ['npz:', 'npz:nowhere.npz', 'npz:.'])
def test_missing_file_is_refused(name: str):
  """Else it ends in a traceback."""
  with pytest.raises(InputError, match='cannot read'):
    load_dataset(name)


@pytest.mark.parametrize('position', range(0, 1000, 97))
def test_flipped_bits_are_never_images(save: Callable[..., str], position: int):
  """Else damage on disk changes an experiment silently."""
  name = save(images=np.zeros((2, 12, 20), np.uint8), labels=np.arange(2))
  path = Path(name.removeprefix('npz:'))
  data = bytearray(path.read_bytes())
  data[position] ^= 0xFF
  path.write_bytes(bytes(data))
  try:
    dataset = load_dataset(name)
  except InputError:
    return
  np.testing.assert_array_equal(dataset.images, np.zeros((1, 12, 20, 1)))
