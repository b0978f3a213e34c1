"""Streams of randomness: each is named once, and no two draws of a seed are the same."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.config.streams import Stream, stream_key
from mamljax.audit.trials import TrialStream

SOURCES = Path(__file__).parents[2] / 'experiments'


def test_recovery_precision_and_benchmarks_drew_from_the_keys_of_other_streams():
  """A key made of a cell's seed by hand would meet the first images, weights or trials."""
  by_hand = re.compile(r'random\.key\(\w+(\.\w+)*\.seed\)')
  found = [path.name for path in SOURCES.rglob('*.py') if by_hand.search(path.read_text())]
  assert found == []


@pytest.mark.parametrize('split', [2, 8])
def test_a_stream_is_one_of_the_keys_that_its_seed_splits_into(split):
  """A seed's own key is for streams alone: another use of it would meet one of them."""
  halves = jax.random.key_data(jax.random.split(jax.random.key(3), split))
  for stream in list(Stream)[:split]:
    np.testing.assert_array_equal(halves[stream], jax.random.key_data(stream_key(3, stream)))


def test_streams_keep_the_numbers_that_published_trials_were_drawn_by():
  """Another number is other trials under the same configuration and seed."""
  assert [(stream.name, int(stream)) for stream in Stream] == [
    ('INITIALIZATION', 0),
    ('TRAINING', 1),
    ('META_TEST', 2),
    ('PREPARATION', 3),
    ('CALIBRATION', 4),
    ('REPORTED', 5),
    ('RECOVERY', 6),
    ('GRADIENT_ERROR', 7),
    ('RATES', 8),
  ]
  assert [int(stream) for stream in TrialStream] == [0, 1, 2]
