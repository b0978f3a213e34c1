"""One door to samples and the user's files; nothing heavy behind it until it is needed."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mamljax.data
from mamljax.data import load_dataset, make_dataset, make_samples
from mamljax.data.cache import cached
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


def test_users_file_is_read(save: Callable[..., str], images: np.ndarray, labels: np.ndarray):
  """Else nobody can audit images of their own."""
  dataset = load_dataset(save(images=images / 255, labels=labels))
  truth = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
  assert len(dataset.images) == len(images)
  assert [truth[x.tobytes()] for x in dataset.images] == dataset.labels.tolist()


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
  assert 'not cached' in caplog.text


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
