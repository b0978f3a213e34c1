"""Several networks of a kind: what one draw says, another may not."""

import csv
import dataclasses

import numpy as np
import pytest
from scipy import stats

from experiments.analysis import networks
from mamljax.audit.metrics import proportion
from tests.experiments.test_tables import make_result

TRIALS = 100


def result(seed: int, right: int, **changes):
  """A cell of a network with some right decisions."""
  made = make_result(**{'seed': seed, 'trials': TRIALS, **changes})
  metrics = made.metrics._replace(accuracy=proportion(right, TRIALS))
  return dataclasses.replace(made, metrics=metrics)


def test_networks_of_a_kind_stand_in_one_line(tmp_path):
  """The lowest and the highest network are printed: a mean alone hides the one that leaks."""
  rights = (97, 60, 80)
  results = [result(seed, right) for seed, right in enumerate(rights)]
  results += [result(0, 50, ways=3)]
  path = networks.write(tmp_path, results)
  assert path
  (line,) = csv.DictReader(path.read_text().splitlines())
  assert (line['ways'], line['networks']) == ('5', '3')
  assert float(line['accuracy']) == pytest.approx(np.mean(rights) / TRIALS)
  assert (float(line['lowest']), float(line['highest'])) == (0.6, 0.97)
  assert float(line['lowest_low']) == pytest.approx(proportion(60, TRIALS).low)
  assert 'seed' not in line


def test_no_table_of_single_networks(tmp_path):
  """An empty table beside a sweep of one seed would only ask what it is for."""
  assert networks.write(tmp_path, [result(0, 97), result(0, 97, ways=3)]) is None
  assert not [*tmp_path.iterdir()]


def test_one_network_many_times_has_the_interval_of_its_trials():
  """Without differences of networks, the second level alone is left: the binomial."""
  value, low, high = networks.accuracy([0.8] * 5, TRIALS)
  ends = stats.binom(5 * TRIALS, 0.8).ppf([0.025, 0.975]) / (5 * TRIALS)
  assert value == pytest.approx(0.8)
  assert (low, high) == pytest.approx(tuple(ends), abs=0.004)


def test_networks_that_differ_widen_the_interval():
  """An interval of pooled trials would be sure of a sixth network that it has not seen."""
  rates = [0.6, 0.7, 0.8, 0.9, 1.0]
  _, low, high = networks.accuracy(rates, 10_000)
  spread = np.std(rates) / 5**0.5
  assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)
