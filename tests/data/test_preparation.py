"""IDX files become TFDS data sets, whole or not at all, and are read back as they were."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mamljax.data import load_dataset
from mamljax.data.preparation import prepare
from mamljax.errors import InputError


def as_set(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
  """Images with their labels, in no order."""
  return {(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)}


def check(name: str, data_dir: Path, images: np.ndarray, labels: np.ndarray) -> None:
  """The prepared data set holds these images."""
  dataset = load_dataset(name, data_dir=data_dir)
  assert len(dataset.images) == len(images)
  assert as_set(dataset.images, dataset.labels) == as_set(images, labels)


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist'])
def test_idx_files_are_prepared_and_read_back(
  tmp_path: Path, idx_dir: Path, images: np.ndarray, labels: np.ndarray, name: str
):
  """Else the offline path to the real data is broken."""
  for new in (True, False):
    prepared = prepare(name, data_dir=tmp_path, idx_dir=idx_dir)
    assert prepared.new == new
    assert prepared.folder == tmp_path / name / '3.0.1'
    np.testing.assert_array_equal(prepared.counts['train'], [3] * 10)
    np.testing.assert_array_equal(prepared.counts['test'], [2] * 10)
  for _ in range(2):  # from TFDS's files, then from the cache
    check(name, tmp_path, images, labels)


def test_the_official_builder_reads_what_was_prepared(tmp_path: Path, idx_dir: Path):
  """Else only mamljax could use the data, and TFDS would download them once more."""
  prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir)
  source: Any = tfds.data_source('mnist', data_dir=tmp_path, split='test', download=False)
  assert len(source) == 20
  assert source[0]['image'].shape == (28, 28, 1)


def test_preparing_anew_replaces_the_cache(
  tmp_path: Path, idx_dir: Path, images: np.ndarray, labels: np.ndarray,
  write_idx: Callable[..., None],
):  # fmt: skip
  """Else the images of an earlier preparation would be used for good."""
  prepared = prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir)
  check('mnist', tmp_path, images, labels)
  prepared.folder.rename(tmp_path / 'aside')
  write_idx(tmp_path / 'other' / 'mnist', 255 - images, labels)
  prepare('mnist', data_dir=tmp_path, idx_dir=tmp_path / 'other')
  check('mnist', tmp_path, 255 - images, labels)


def test_another_source_than_the_prepared_one_is_noticed(
  tmp_path: Path, idx_dir: Path, images: np.ndarray, labels: np.ndarray,
  write_idx: Callable[..., None],
):  # fmt: skip
  """Else counts would be printed that were never compared."""
  prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir)
  write_idx(tmp_path / 'other' / 'mnist', images, labels // 2)
  with pytest.raises(InputError, match='does not hold what its source does'):
    prepare('mnist', data_dir=tmp_path, idx_dir=tmp_path / 'other')


def test_bad_idx_file_leaves_nothing(tmp_path: Path, idx_dir: Path):
  """Else half a data set would pass for a whole one."""
  path = idx_dir / 'fashion_mnist' / 't10k-images-idx3-ubyte'
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(InputError, match=f'{path} is truncated'):
    prepare('fashion_mnist', data_dir=tmp_path / 'data', idx_dir=idx_dir)
  assert not (tmp_path / 'data').exists()


def test_images_of_another_size_are_refused(
  tmp_path: Path, images: np.ndarray, labels: np.ndarray, write_idx: Callable[..., None]
):
  """Else TFDS would store them under a name that promises 28 x 28."""
  write_idx(tmp_path / 'mnist', images[:, :14], labels)
  with pytest.raises(InputError, match=r'images of \[14, 28\]: .* has \[28, 28, 1\]'):
    prepare('mnist', data_dir=tmp_path / 'data', idx_dir=tmp_path)


INTERRUPTED = """
import os, sys
from mamljax.data import preparation

def examples(self, images, labels):
  yield 0, {'image': preparation.from_array(images[0]), 'label': 0}
  os._exit(9)

preparation._FromIdx._generate_examples = examples
preparation.prepare('mnist', data_dir=sys.argv[1], idx_dir=sys.argv[2])
"""


def test_killed_preparation_does_not_count(
  tmp_path: Path, idx_dir: Path, images: np.ndarray, labels: np.ndarray
):
  """Else the part that was written would pass for MNIST."""
  command = [sys.executable, '-c', INTERRUPTED, str(tmp_path), str(idx_dir)]
  assert subprocess.run(command, check=False).returncode == 9
  with pytest.raises(InputError, match=r'run `python -m experiments.prepare_data'):
    load_dataset('mnist', data_dir=tmp_path)
  assert prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir).new
  check('mnist', tmp_path, images, labels)


def test_folder_in_the_way_is_named(tmp_path: Path, idx_dir: Path):
  """Else TFDS takes any folder of that name for the data, and nothing gets prepared."""
  (tmp_path / 'mnist' / '3.0.1').mkdir(parents=True)
  with pytest.raises(InputError, match=r'mnist/3.0.1 is not a whole data set: remove it'):
    prepare('mnist', data_dir=tmp_path, idx_dir=idx_dir)


def test_unwritable_folder_is_refused(tmp_path: Path, idx_dir: Path):
  """Else it ends in a traceback."""
  (tmp_path / 'file').touch()
  with pytest.raises(InputError, match=r"could not prepare 'mnist': .*file"):
    prepare('mnist', data_dir=tmp_path / 'file', idx_dir=idx_dir)


def run_command(*options: str) -> subprocess.CompletedProcess[str]:
  """`python -m experiments.prepare_data` with these options."""
  command = [sys.executable, '-m', 'experiments.prepare_data', *options]
  return subprocess.run(command, check=False, capture_output=True, text=True)


def test_command_prints_a_table_and_is_idempotent(tmp_path: Path, idx_dir: Path):
  """Else the user cannot see that the data are whole."""
  options = [f'--data_dir={tmp_path / "data"}', f'--idx_dir={idx_dir}']
  for state in ('prepared in', 'already in'):
    result = run_command('--datasets=mnist,fashion_mnist', *options)
    assert result.returncode == 0, result.stderr
    for name in ('mnist', 'fashion_mnist'):
      assert f'{name}: 10 classes, {state} {tmp_path}/data/{name}/3.0.1\n' in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows.count(['class', 'train', 'test']) == rows.count(['total', '30', '20']) == 2
    assert rows.count(['9', '3', '2']) == 2


@pytest.mark.parametrize(
  ('datasets', 'message'),
  [('mnist', 'cannot read'), ('fashion_mnist,mnits', "unknown dataset 'mnits': did you mean")],
)
def test_command_ends_in_one_line_on_bad_input(
  tmp_path: Path, idx_dir: Path, datasets: str, message: str
):
  """Else the user gets a traceback, a script that calls it goes on, or half is done."""
  path = idx_dir / 'mnist' / 'train-labels-idx1-ubyte.gz'
  path.write_bytes(path.read_bytes()[:20])
  data = tmp_path / 'data'
  options = [f'--datasets={datasets}', f'--data_dir={data}', f'--idx_dir={idx_dir}']
  result = run_command(*options)
  assert result.returncode == 2
  assert result.stdout == ''
  assert result.stderr.count('\n') == 1
  assert message in result.stderr
  assert not data.exists()
