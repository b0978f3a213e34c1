"""TFDS data sets that are not there, or not what they should be, end in one line at once."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from mamljax.data import load_dataset
from mamljax.data.preparation import prepare
from mamljax.errors import InputError


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch):
  """Whoever asks the network fails."""

  def refuse(*args: object):
    raise AssertionError('this must not use the network')

  monkeypatch.setattr(socket, 'getaddrinfo', refuse)
  monkeypatch.setattr(socket.socket, 'connect', refuse)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('mnits', r"unknown dataset 'mnits': did you mean 'mnist'.*known: .*npz:PATH"),
    ('mnist_sampel', r"unknown dataset 'mnist_sampel': did you mean 'mnist_sample'"),
    ('cifar_10', r"did you mean 'cifar10'"),
    ('mnist:3.0.1', r"did you mean 'mnist'"),
    ('mnist/large', r"unknown dataset 'mnist/large'"),
    ('emnist/balance', r"unknown configuration of emnist 'balance': did you mean 'balanced'"),
    ('', r"unknown dataset ''"),
    ('../mnist', r"'../mnist' is no name of a data set: a file is npz:../mnist"),
    ('huggingface:mnist', r"unknown dataset 'huggingface:mnist'"),
    ('ag_news_subset', r"'ag_news_subset' is not one of 8-bit images with one class each"),
    ('sift1m', r"cannot open dataset 'sift1m' here: No module named 'h5py'"),
    ('voxforge', r"cannot open dataset 'voxforge' here: No module named 'tensorflow'"),
    ('celeb_a', r"'celeb_a' is not one of 8-bit images with one class each"),
  ],
)
def test_unknown_name_is_refused(tmp_path: Path, name: str, message: str):
  """Else a slip of the finger ends in a traceback, or in a download."""
  with pytest.raises(InputError, match=message) as caught:
    load_dataset(name, data_dir=tmp_path)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['mnist', 'emnist/balanced', 'cifar10', 'omniglot'])
def test_unprepared_dataset_fails_at_once_with_the_command(tmp_path: Path, name: str):
  """Else the user waits for minutes before being told (TFDS first tries to download)."""
  tfds.list_builders(with_community_datasets=False)  # imports them, once in a process
  start = time.monotonic()
  with pytest.raises(InputError) as caught:
    load_dataset(name, data_dir=tmp_path)
  assert time.monotonic() - start < 1
  command = f'run `python -m experiments.prepare_data --datasets={name} --data_dir={tmp_path}`'
  assert str(caught.value).endswith(command)


def test_samples_need_no_preparation():
  """Else the user is told that the name is unknown, or waits for a download."""
  with pytest.raises(InputError, match='ships with the package'):
    prepare('mnist_sample', data_dir=None, idx_dir=None)


def test_default_folder_is_that_of_tfds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  """Else data prepared by TFDS itself are not found."""
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(InputError, match=rf'not in {tmp_path}/mnist/3.0.1: .*=mnist`$'):
    load_dataset('mnist')


@pytest.mark.parametrize('damage', ['missing', 'truncated', 'flipped'])
def test_damaged_files_are_named(tmp_path: Path, idx_dir: Path, damage: str):
  """Else a bad disk ends in a traceback, or in other images."""
  folder = prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir).folder
  (path,) = folder.glob('mnist-test.array_record*')
  data = bytearray(path.read_bytes())
  path.unlink()
  if damage == 'truncated':
    path.write_bytes(data[:-1000])
  if damage == 'flipped':
    (start,) = (i for i in [data.find(b'IHDR')] if i > 0)
    data[start] ^= 1
    path.write_bytes(data)
  with pytest.raises(InputError, match=f'{folder} is damaged: remove it and prepare it again'):
    load_dataset('mnist', data_dir=tmp_path)


def test_tfrecord_is_refused(tmp_path: Path, idx_dir: Path):
  """Else a folder that TensorFlow prepared ends in a traceback."""
  info = prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir).folder / 'dataset_info.json'
  info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
  with pytest.raises(InputError, match=r"holds 'mnist' as tfrecord, .* another --data_dir"):
    load_dataset('mnist', data_dir=tmp_path)


class OddSizes(tfds.core.GeneratorBasedBuilder):
  """Four pictures of different sizes, in various modes, in a split of an odd name."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      'picture': tfds.features.Image(),
      'kind': tfds.features.ClassLabel(names=['a', 'b']),
    }
    keys = ('picture', 'kind')
    return tfds.core.DatasetInfo(
      builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=keys
    )

  def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
    return {'pictures': self._generate_examples()}

  def _generate_examples(self) -> Iterator:
    yield 9, {'picture': Image.new('L', (1, 1)), 'kind': -1}  # without a class
    for index, mode in enumerate(('RGB', 'L', 'P', 'RGBA')):
      image = Image.new('RGB', (10 + index, 20), (50 * index, 50 * index, 50 * index))
      yield (
        index,
        {
          'picture': image.quantize() if mode == 'P' else image.convert(mode),
          'kind': 'ab'[index % 2],
        },
      )


def test_images_of_different_sizes_need_a_size(tmp_path: Path):
  """Else photographs cannot be used, or fail without saying why."""
  assert prepare('odd_sizes', data_dir=tmp_path, idx_dir=None).counts['pictures'].tolist() == [
    2,
    2,
  ]
  with pytest.raises(
    InputError, match="images of 'odd_sizes' have 4 sizes: give an image_size"
  ):
    load_dataset('odd_sizes', data_dir=tmp_path)
  colour = load_dataset('odd_sizes', data_dir=tmp_path, image_size=8)
  grey = load_dataset('odd_sizes', data_dir=tmp_path, image_size=8, channels=1)
  assert colour.images.shape == (4, 8, 8, 3)
  assert grey.images.shape == (4, 8, 8, 1)
  for dataset in (colour, grey):
    shades = dataset.images[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(shades), [0, 50, 100, 150])
    np.testing.assert_array_equal(shades // 50 % 2, dataset.labels)
    assert (dataset.images == shades[:, None, None, None]).all()
