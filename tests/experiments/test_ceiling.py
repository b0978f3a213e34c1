"""An attack stands beside the ceiling of its own game, and of no other."""

import csv

import pytest

from experiments.analysis import ceiling, curves, results_csv
from experiments.store.cells import configuration_hash
from tests.experiments.reported import make_result

NOISY = {'defence': 'query_noise', 'trials': 200}


def bound(apart: float, **cell):
  return make_result(apart=apart, attack='likelihood_ratio', **NOISY | cell)


def attack(apart: float, **cell):
  return make_result(apart=apart, attack='matched_filter', **NOISY | cell)


def test_the_share_is_of_what_guessing_leaves():
  """An AUC of a half is nothing, and the ceiling's all, whatever the ceiling is."""
  found, possible = attack(1.0, noise_scale=0.1), bound(3.0, noise_scale=0.1)
  expected = (found.metrics.auc.value - 0.5) / (possible.metrics.auc.value - 0.5)
  assert ceiling.share(found, possible) == pytest.approx(expected)
  assert 0 < expected < 1
  assert ceiling.share(possible, possible) == 1


def test_where_nothing_is_possible_there_is_no_share():
  """A ceiling at chance would make a share of noise."""
  nothing = bound(-3.0, noise_scale=0.1)
  assert ceiling.share(attack(1.0, noise_scale=0.1), nothing) is None


def test_each_attack_finds_the_ceiling_of_its_own_game():
  """That of another noise, or of another set, would be too high or too low."""
  found = [attack(1.0, noise_scale=scale, references=50) for scale in (0.1, 0.3, 1.0)]
  possible = [bound(3.0, noise_scale=scale) for scale in (0.1, 0.3)]
  other = bound(9.0, noise_scale=1.0, ways=5)
  pairs = ceiling.ceilings([*found, *possible, other])
  hashes = [configuration_hash(result.configuration) for result in found]
  assert pairs == dict(zip(hashes[:2], possible, strict=True))
  lines = [*ceiling.statements([*found, *possible, other])]
  assert len(lines) == 2
  assert 'noise_scale=0.1' in lines[0]
  assert lines[0].endswith('of the ceiling')


def test_results_name_the_ceiling_and_its_share(tmp_path):
  """Who reads a low AUC must see whether the attack or the game is to blame."""
  found, possible = attack(1.0, noise_scale=0.1), bound(3.0, noise_scale=0.1)
  with results_csv.write_csv(tmp_path, [found, possible]).open(newline='') as file:
    line, own = csv.DictReader(file)
  assert float(line['ceiling_auc']) == possible.metrics.auc.value
  assert float(line['ceiling_share']) == ceiling.share(found, possible)
  assert (own['ceiling_auc'], own['ceiling_share']) == ('', '')


def test_the_ceiling_is_drawn_apart_from_the_attacks():
  """In an attack's colour it would look like one."""
  found = [attack(1.0, noise_scale=scale) for scale in (0.1, 1.0)]
  possible = [bound(3.0, noise_scale=scale) for scale in (0.1, 1.0)]
  figure = curves.curves([*found, *possible], 'noise_scale')
  lines = {line.get_label(): line.get_color() for line in figure.axes[0].get_lines()}
  assert lines['likelihood_ratio: no attack can pass it'] == 'black'
  assert lines['matched_filter'] != 'black'
