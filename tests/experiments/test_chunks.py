"""Between shapes of a chunk scores agree: closed forms to rounding, reconstructions as samples.

The chunk of trials that are computed together is part of a cell: it decides the order of sums.
Were these tests to fail, a table would depend on the memory of the machine it was made on,
where chunks are halved, and on its kind, for which they are chosen.
"""

import numpy as np
import pytest

from experiments.engine.runner import run_cell
from tests.experiments.configurations import changed, make

PAIRED = make(
  ways=2, filters=4, image_size=11, iterations=20, trials=120, calibration_trials=40
)


def both(folder, **changes):
  """The results of the same trials in chunks of four and of six."""
  cell = changed(PAIRED, **changes)
  kept = {'data_dir': None, 'store_dir': folder, 'advance': lambda _: None}
  return [run_cell(changed(cell, chunk=chunk), **kept)[0] for chunk in (4, 6)]


@pytest.mark.parametrize(
  'attack', ['row_space', pytest.param('gradient_cosine', marks=pytest.mark.slow)]
)
def test_closed_forms_agree_within_rounding(tmp_path, attack):
  """A score of one pass has no steps that could amplify a last bit."""
  first, second = both(tmp_path, network='mlp', attack=attack)
  np.testing.assert_allclose(first.trials.scores, second.trials.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('network', ['mlp', pytest.param('conv4', marks=pytest.mark.slow)])
def test_reconstructions_agree_as_samples_do(tmp_path, network):
  """Paired by trial: no chunk is better, and hardly a decision is another."""
  first, second = both(tmp_path, network=network)
  scores = [np.array(found.trials.scores) for found in (first, second)]
  apart = scores[0] - scores[1]
  error = np.std(apart) / np.sqrt(len(apart))
  assert abs(np.mean(apart)) <= 2.6 * error + 1e-6  # 99 %, beyond the last bits of a score
  called = [
    s > found.metrics.threshold for s, found in zip(scores, (first, second), strict=True)
  ]
  assert np.mean(called[0] == called[1]) >= 0.95
  assert np.std(apart) < 0.5 * np.std(scores[0])  # the same trials, not others
