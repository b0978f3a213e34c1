"""One door to samples and the user's files; nothing heavy behind it until it is needed."""

import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mamljax.data
from mamljax.data import load_dataset, make_dataset, make_samples, npz
from mamljax.data.cache import cached
from mamljax.data.loading import file_state
from mamljax.errors import InputError

Labelled = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize('name', ['mnist_sample', 'fashion_mnist_sample'])
def test_samples_are_whole(name: str):
  """Else the quickstart runs on something other than 200 real images of each class."""
  dataset = load_dataset(name)
  assert dataset.images.shape == (2000, 28, 28, 1)
  assert dataset.images.dtype == np.uint8
  assert dataset.duplicates == 0
  np.testing.assert_array_equal(dataset.counts, [200] * 10)
  inked = (dataset.images > 0).mean(axis=(1, 2, 3))
  assert (inked > 0.01).all()


def test_samples_differ():
  """Else one file was shipped under two names."""
  mnist, fashion = load_dataset('mnist_sample'), load_dataset('fashion_mnist_sample')
  assert np.mean(fashion.images) > 1.5 * np.mean(mnist.images)


def test_what_samples_need_is_light():
  """Else the package's own images need what only `mamljax[experiments]` installs."""
  heavy = 'tensorflow tensorflow_datasets array_record PIL matplotlib absl'
  program = (
    'import sys; import numpy, mamljax.types; before = set(sys.modules); '
    'from mamljax.data import load_dataset; load_dataset("mnist_sample"); '
    f'print(*(set({heavy.split()}) & (set(sys.modules) - before)))'
  )
  command = [sys.executable, '-c', program]
  result = subprocess.run(command, check=True, capture_output=True, text=True)
  assert result.stdout.strip() == ''


@pytest.mark.parametrize(
  ('package', 'module', 'name', 'options'),
  [
    ('tensorflow_datasets', 'tfds_source', 'mnist', {}),
    ('PIL', 'conversion', 'mnist_sample', {'image_size': 14}),
  ],
)
def test_missing_package_is_named(
  package: str, module: str, name: str, options: dict, monkeypatch: pytest.MonkeyPatch
):
  """Else who installed the bare package gets a traceback, not the command that helps."""
  monkeypatch.setitem(sys.modules, package, None)
  monkeypatch.delitem(sys.modules, f'mamljax.data.{module}', raising=False)
  monkeypatch.delattr(mamljax.data, module, raising=False)
  with pytest.raises(InputError, match=r"pip install 'mamljax\[experiments\]'"):
    load_dataset(name, **options)


def test_samples_are_made_alike_each_time(
  tmp_path: Path, idx_dir: Path, monkeypatch: pytest.MonkeyPatch
):
  """Else nobody can check where the shipped images come from."""
  monkeypatch.setattr(make_samples, 'PER_CLASS', 2)
  contents = []
  for output in (tmp_path / 'one', tmp_path / 'two'):
    output.mkdir()
    options = ['make_samples', f'--idx_dir={idx_dir}', f'--output_dir={output}']
    monkeypatch.setattr(sys, 'argv', options)
    make_samples.main()
    contents.append([path.read_bytes() for path in sorted(output.iterdir())])
  assert contents[0] == contents[1]
  sample = load_dataset(f'npz:{tmp_path}/one/mnist_sample.npz')
  np.testing.assert_array_equal(sample.counts, [2] * 10)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
  """Saves arrays as .npz and gives the name for `load_dataset`."""

  def save(**arrays: np.ndarray) -> str:
    np.savez(tmp_path / 'mine.npz', allow_pickle=True, **arrays)
    return f'npz:{tmp_path / "mine.npz"}'

  return save


def test_users_file_is_read(save: Callable[..., str], images: np.ndarray, labels: np.ndarray):
  """Else nobody can audit images of their own."""
  dataset = load_dataset(save(images=images / 255, labels=labels))
  truth = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
  assert len(dataset.images) == len(images)
  assert [truth[x.tobytes()] for x in dataset.images] == dataset.labels.tolist()


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
  monkeypatch.setattr(npz, 'MOST_BYTES', 100)
  with pytest.raises(InputError, match=r'images.npy has .* GiB, at most .* are read'):
    load_dataset(save(images=np.zeros((2, 11, 11)), labels=np.arange(2)))


@pytest.mark.parametrize('name', ['/dev/zero', 'pipe'])
def test_what_never_ends_is_refused_before_it_is_opened(tmp_path: Path, name: str):
  """A device filled memory and a pipe waited for ever, with --dry_run too: for its digest."""
  path = tmp_path / name  # of an absolute name that name itself
  if name == 'pipe':
    os.mkfifo(path)
  with pytest.raises(InputError, match=f'cannot read {path}: it is a pipe or a device'):
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


def test_colour_and_size_are_converted(save: Callable[..., str]):
  """Else colour images cannot be used with the paper's settings."""
  images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
  name = save(images=images, labels=np.arange(6) % 2)
  dataset = load_dataset(name, image_size=28, channels=1)
  assert dataset.images.shape == (6, 28, 28, 1)
  luma = images @ [0.299, 0.587, 0.114]
  small = [Image.fromarray(x.round().astype(np.uint8)).resize((28, 28), 1) for x in luma]
  expected = sorted(np.asarray(image, float).mean() for image in small)
  means = sorted(dataset.images.mean(axis=(1, 2, 3)))
  np.testing.assert_allclose(means, expected, atol=0.6)


def test_grey_becomes_colour_without_change():
  """Else a sample and its colour version would be different data."""
  grey, colour = load_dataset('mnist_sample'), load_dataset('mnist_sample', channels=3)
  assert colour.images.shape == (2000, 28, 28, 3)
  assert {x.tobytes() for x in colour.images[..., 1]} == {x.tobytes() for x in grey.images}


def test_resized_constant_stays_constant(save: Callable[..., str]):
  """Else resampling changes brightness or adds a border."""
  images = np.array([[[[10]]], [[[200]]]], np.uint8).repeat(9, 1).repeat(7, 2)
  dataset = load_dataset(save(images=images, labels=np.arange(2)), image_size=5)
  np.testing.assert_array_equal(dataset.images[:, ..., 0].std(axis=(1, 2)), 0)
  assert sorted(dataset.images[:, 0, 0, 0]) == [10, 200]


def test_images_that_resizing_makes_equal_are_copies(save: Callable[..., str]):
  """Else they could stand in two pools."""
  images = np.zeros((3, 64, 64), np.uint8)
  images[0, 0, 0] = 1  # vanishes in 8 x 8
  images[2] = 99
  assert (
    load_dataset(save(images=images, labels=np.zeros(3, int)), image_size=8).duplicates == 1
  )


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'image_size': 0}, 'image_size must be 1 or more, not 0'),
    ({'channels': 2}, 'channels must be 1 or 3, not 2'),
  ],
)
def test_bad_conversion_is_refused(options: dict, message: str):
  """Else it ends in a traceback of Pillow's."""
  with pytest.raises(InputError, match=message):
    load_dataset('mnist_sample', **options)


@pytest.mark.parametrize('damage', [None, 'truncated', 'flipped', 'emptied', 'other'])
def test_cache_is_used_or_replaced(
  tmp_path: Path,
  images: np.ndarray,
  labels: np.ndarray,
  damage: str | None,
  caplog: pytest.LogCaptureFixture,
):
  """Else images are decoded each time, or a damaged file is trusted or lost."""
  path, calls = tmp_path / 'new' / 'cache.npz', []

  def decode() -> Labelled:
    calls.append(None)
    return images, labels

  cached(path, stamp='a', decode=decode)
  whole = path.read_bytes()
  middle = len(whole) // 2
  damaged = {
    None: whole,
    'truncated': whole[:middle],
    'flipped': whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
    'emptied': b'',
    'other': b'not a cache',
  }[damage]
  path.write_bytes(damaged)
  for _ in range(2):
    found = cached(path, stamp='a', decode=decode)
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)
  kept = [x.read_bytes() for x in path.parent.iterdir() if x != path]
  assert path.read_bytes() == whole
  assert len(calls) == (1 if damage is None else 2)
  assert kept == ([] if damage is None else [damaged])
  assert (str(path) in caplog.text) == (damage is not None)


def test_cache_of_another_source_is_replaced(tmp_path: Path, images: np.ndarray):
  """Else data that were prepared anew would never be seen."""
  path, labels = tmp_path / 'cache.npz', np.zeros(len(images), int)
  cached(path, stamp='a', decode=lambda: (images, labels))
  for _ in range(2):
    found, _ = cached(path, stamp='b', decode=lambda: (images[::-1], labels))
    np.testing.assert_array_equal(found, images[::-1])


def test_unwritable_cache_is_no_obstacle(
  tmp_path: Path, images: np.ndarray, caplog: pytest.LogCaptureFixture
):
  """Else data on a read-only disk could not be used."""
  (tmp_path / 'file').touch()
  labels = np.zeros(len(images), int)
  path = tmp_path / 'file' / 'cache.npz'
  found, _ = cached(path, stamp='a', decode=lambda: (images, labels))
  np.testing.assert_array_equal(found, images)
  assert 'not kept' in caplog.text


def test_a_fingerprint_is_of_the_images_and_labels_and_of_nothing_else(tmp_path):
  """Results are kept by it: as good as other images, or computed anew for another file name."""
  images, labels = random_images(), np.arange(12) % 3
  np.savez(tmp_path / 'one.npz', images=images, labels=labels)
  np.savez_compressed(tmp_path / 'two.npz', labels=labels[::-1], images=images[::-1])
  one, two = (load_dataset(f'npz:{tmp_path}/{name}.npz') for name in ('one', 'two'))
  assert one.fingerprint == two.fingerprint
  assert re.fullmatch('[0-9a-f]{16}', one.fingerprint)
  images[3, 0, 0] ^= 1
  others = [make_dataset('pixel', images, labels), make_dataset('label', images, labels[::-1])]
  found = {data.fingerprint for data in (one, *others, load_dataset('mnist_sample'))}
  assert len(found) == 4


def random_images() -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
