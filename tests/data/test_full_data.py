"""The published files themselves, where MAMLJAX_IDX_DIR names the folder that holds them."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

import mamljax.data
from mamljax.data import idx, load_dataset, make_samples
from mamljax.data.preparation import prepare

IDX_DIR = Path(os.environ.get('MAMLJAX_IDX_DIR', ''))
SAMPLE = Path(mamljax.data.__file__).parent / 'sample'

pytestmark = [
  pytest.mark.skipif('MAMLJAX_IDX_DIR' not in os.environ, reason='MAMLJAX_IDX_DIR is not set'),
  pytest.mark.parametrize('name', ['mnist', 'fashion_mnist']),
]


def test_all_images_are_prepared_and_read_back(tmp_path: Path, name: str):
  """Else experiments on full data use something else than the published images."""
  prepared = prepare(name, data_dir=tmp_path, idx_dir=IDX_DIR)
  truth = []
  for split, stem in (('train', 'train'), ('test', 't10k')):
    images, labels = idx.read_labelled_images(IDX_DIR / name, stem=stem, classes=10)
    np.testing.assert_array_equal(prepared.counts[split], np.bincount(labels))
    truth += [(int(y), x.tobytes()) for x, y in zip(images, labels, strict=True)]
  dataset = load_dataset(name, data_dir=tmp_path)
  assert dataset.duplicates == 0
  pairs = zip(dataset.labels.tolist(), dataset.images, strict=True)
  assert sorted((y, x.tobytes()) for y, x in pairs) == sorted(truth)
  assert len(truth) == 70_000


def test_samples_are_made_again(tmp_path: Path, name: str):
  """Else what ships is not what its README says it is."""
  make_samples.make_sample(IDX_DIR / name, tmp_path / 'sample.npz')
  shipped = load_dataset(f'{name}_sample')
  again = load_dataset(f'npz:{tmp_path / "sample.npz"}')
  np.testing.assert_array_equal(again.images, shipped.images)
  np.testing.assert_array_equal(again.labels, shipped.labels)


def test_origin_names_the_source(name: str):
  """Else nobody can tell which version of the data the samples were taken from."""
  origin = (SAMPLE / 'ORIGIN.md').read_text()
  chapter = origin.partition(f'## {name}_sample.npz')[2].partition('\n## ')[0]
  for kind in ('images-idx3', 'labels-idx1'):
    content = gzip.decompress((IDX_DIR / name / f'train-{kind}-ubyte.gz').read_bytes())
    assert f'{hashlib.sha256(content).hexdigest()}  train-{kind}-ubyte\n' in chapter
