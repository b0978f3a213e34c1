"""A cell is one configuration: checked, named by its content, and in its place in the grid."""

import dataclasses
import itertools
import math
import os
import subprocess
import sys
from typing import Any

import pytest

from experiments.config.attacks import make_attack
from experiments.config.cell import Cell, Model, describe
from experiments.config.grid import expand
from experiments.store.cells import cell_hash
from mamljax.attacks import ATTACKS
from mamljax.defences import DEFENCES
from mamljax.errors import InputError
from tests.experiments.configurations import OTHER
from tests.experiments.tiny import ROOT

FIELDS = [field.name for field in dataclasses.fields(Cell)]
KEYS = {'chunk', 'fingerprint', 'code'}  # which say nothing to a person
BASE = Cell(epoch=1, defence='support_noise', noise_scale=0.5)


def test_the_last_axis_varies_fastest():
  """Rows stand where a reader of the command line expects them."""
  axes = {'dataset': ['b', 'a'], 'ways': [5, 3], 'iterations': [10, 30, 20]}
  cells = expand(axes, {'seed': 4})
  found = [(cell.dataset, cell.ways, cell.iterations) for cell in cells]
  assert found == list(itertools.product(*axes.values()))
  assert {cell.seed for cell in cells} == {4}


def test_scales_without_a_defence_are_one_cell():
  """The undefended baseline must not be computed once for every scale."""
  names = ['none', 'query_noise']
  cells = expand({'defence': names, 'noise_scale': [0.1, 0.2], 'shots': [1, 2]}, {})
  found = [(cell.defence, cell.noise_scale, cell.shots) for cell in cells]
  defended = itertools.product(['query_noise'], [0.1, 0.2], [1, 2])
  assert found == [('none', 0.0, 1), ('none', 0.0, 2), *defended]


def test_a_scale_of_0_in_a_list_is_the_undefended_cell():
  """The start of every noise figure: one cell, whichever defences the list is for."""
  names = ['query_noise', 'support_noise']
  axes = {'defence': names, 'noise_scale': [0.0, 0.1], 'clip_noisy_images': [True]}
  found = [(c.defence, c.noise_scale, c.clip_noisy_images) for c in expand(axes, {})]
  assert found == [('none', 0.0, False), *((name, 0.1, True) for name in names)]


def test_a_mean_alone_is_noise():
  """Every pixel brighter by 0.1 is a defence, however bad: not the undefended cell."""
  axes = {'defence': ['query_noise'], 'noise_scale': [0.0], 'noise_mean': [0.0, -0.1]}
  found = [(cell.defence, cell.noise_mean) for cell in expand(axes, {})]
  assert found == [('none', 0.0), ('query_noise', -0.1)]


@pytest.mark.parametrize('scales', [[0.0], [0.0, 0.0], []])
def test_a_defence_that_never_gets_noise_is_a_mistake(scales):
  """Reported as 'none', it would look as if it had been tried."""
  axes = {'defence': ['none', 'query_noise']} | ({'noise_scale': scales} if scales else {})
  with pytest.raises(InputError, match="'query_noise' needs a positive scale: give --noise_s"):
    expand(axes, {})


def test_the_same_cell_twice_is_one():
  """A value typed twice costs nothing."""
  assert expand({'ways': [3, 5, 3]}, {}) == [Cell(ways=3), Cell(ways=5)]


def test_an_axis_without_values_is_named():
  """A grid of no cells would end at once, in silence."""
  with pytest.raises(InputError, match='ways'):
    expand({'dataset': ['mnist'], 'ways': []}, {})


@pytest.mark.parametrize('name', FIELDS)
def test_every_field_is_part_of_the_name(name):
  """Two configurations under one hash: the second would be given the first one's result."""
  if name in OTHER:  # a second attack comes with later work
    other = dataclasses.replace(BASE, **{name: OTHER[name]})
    assert cell_hash(other) != cell_hash(BASE)
    assert OTHER[name] != getattr(BASE, name)


def test_the_name_is_the_same_in_every_process():
  """A hash salted per process would never find a finished cell again."""
  code = (
    'from experiments.config.cell import Cell; from experiments.store.cells import cell_hash;'
    "print(cell_hash(Cell(epoch=1, defence='support_noise', noise_scale=0.5)))"
  )
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=os.environ | {'PYTHONHASHSEED': '12345'},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == cell_hash(BASE)


def test_a_model_is_what_the_parameters_depend_on():
  """Attacks on one model share its training; nothing about the attack may retrain it."""
  of_model = {field.name for field in dataclasses.fields(Model)}
  for name, value in OTHER.items():
    other = dataclasses.replace(BASE, **{name: value})
    assert (other.model == BASE.model) == (name not in of_model)
  attacker = ['target', 'attack', 'epoch', 'iterations', 'attack_learning_rate', 'tv_weight']
  attacker += ['start_mean', 'start_scale', 'pool', 'trials', 'calibration_trials', 'chunk']
  attacker += ['attack_decay', 'labels', 'restarts', 'assumed_order', 'learning_epoch']
  attacker += ['learners', 'non_members', 'references', 'classes', 'sketch', 'ridge']
  attacker += ['shadows', 'swaps', 'shrinkage', 'parts', 'judge', 'query_set', 'neighbours']
  attacker += ['participations', 'directions']
  assert set(FIELDS) - of_model == set(attacker)


@pytest.mark.parametrize('name', sorted(set(FIELDS) & set(OTHER) - KEYS))
def test_a_cells_description_says_what_is_unusual_about_it(name):
  """The progress bar and --dry_run must tell the cells of a grid apart."""
  cell = dataclasses.replace(BASE, **{name: OTHER[name]})
  assert describe(cell) != describe(BASE)
  assert describe(Cell()) == 'mnist_sample 3-way 1-shot query reconstruction'


@pytest.mark.parametrize(
  'name',
  [
    *('inner_learning_rate', 'noise_scale', 'outer_learning_rate'),
    *('attack_learning_rate', 'attack_decay', 'tv_weight', 'start_scale'),
  ],
)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, -0.5])
def test_a_number_that_cannot_be_is_named(name, value):
  """NaN compares false with everything: a careless check lets it through."""
  with pytest.raises(InputError, match=name) as error:
    Cell(**{name: value})
  assert '\n' not in str(error.value)
  assert str(value) in str(error.value)


@pytest.mark.parametrize('name', sorted(set(DEFENCES) - {'none'}))
def test_a_defence_needs_a_scale(name):
  """Noise of scale 0 under a defence's name would be reported as a defence that fails."""
  with pytest.raises(InputError, match=rf"'{name}' needs a positive scale"):
    Cell(defence=name)


def test_what_an_attack_does_not_read_multiplies_nothing():
  """Two weights of a total variation that is not there are one cell, not two alike."""
  axes = {'attack': ['row_space', 'reconstruction'], 'tv_weight': [0.1, 0.2], 'ridge': [0.5, 1]}
  cells = expand(axes, {'calibration_trials': 50})
  found = [(cell.attack, cell.tv_weight, cell.ridge, cell.calibration_trials) for cell in cells]
  default = Cell()
  assert found == [
    ('row_space', default.tv_weight, default.ridge, 0),
    *(('reconstruction', weight, default.ridge, 50) for weight in (0.1, 0.2)),
  ]


def test_judges_are_of_a_reconstruction_only():
  """Each of its judges is a cell; an attack that reconstructs nothing has one."""
  axes = {'attack': ['loss', 'reconstruction'], 'judge': ['mse', 'residual']}
  found = [(cell.attack, cell.judge) for cell in expand(axes, {})]
  assert found == [('loss', 'ssim'), ('reconstruction', 'mse'), ('reconstruction', 'residual')]


def test_what_an_attack_is_not_told_multiplies_nothing():
  """References, classes and assumed orders concern the attacks that require them."""
  told = {'references': [10, 20], 'classes': ['known', 'unknown'], 'assumed_order': [1, 2]}
  counts = {
    ('row_space', 'query'): 1,
    ('loss', 'query'): 1,
    ('reconstruction', 'query'): 1,
    ('reconstruction', 'support'): 2,
    ('gradient_cosine_z', 'query'): 2,  # it must be told the classes
    ('matched_filter', 'query'): 2 * 2,
    ('curvature_filter', 'support'): 2 * 2 * 2,
    ('shadow_matched_filter', 'support'): 2 * 2 * 2,
    ('residual_filter', 'support'): 2 * 2 * 2,
  }
  for (attack, target), count in counts.items():
    assert len(expand({'attack': [attack], 'target': [target], **told}, {})) == count, attack


def test_a_defence_moves_the_scores_so_that_trials_choose_the_threshold():
  """The threshold of an undefended gradient would decide noisy ones wrongly."""
  axes = {'attack': ['row_space'], 'defence': ['support_noise'], 'noise_scale': [0.0, 0.1]}
  found = [(cell.threshold, cell.calibration_trials) for cell in expand(axes, {})]
  assert found == [(-0.01, 0), (None, Cell().calibration_trials)]


@pytest.mark.parametrize(
  ('parts', 'target', 'message'),
  [
    ('loss+los', 'query', "unknown part of a combined attack 'los': did you mean 'loss'"),
    ('loss+likelihood_ratio', 'query', 'unknown part of a combined attack'),
    ('loss', 'query', "two or more different attacks, not 'loss'"),
    ('loss+loss', 'query', "two or more different attacks, not 'loss\\+loss'"),
    ('loss+matched_filter', 'support', "'matched_filter' has no target 'support'"),
  ],
)
def test_a_combination_of_what_cannot_be_combined_is_refused(parts, target, message):
  """In the middle of a sweep its other cells would be lost; the bound would be cheating."""
  with pytest.raises(InputError, match=message):
    Cell(attack='combined', parts=parts, target=target)


@pytest.mark.parametrize('attack', ['combined', 'likelihood_ratio'])
def test_games_without_one_learner_are_refused(attack):
  """Whose the candidate is would be guessed from the first learner's part alone."""
  with pytest.raises(InputError, match=f"'{attack}' is for the game with learners=1 only"):
    Cell(attack=attack, learners=2)


def test_a_bound_needs_non_members_that_look_like_members():
  """Who is told the class sees through any other non-member: the bound would be too low."""
  with pytest.raises(InputError, match="non_members='same_class' only, not 'any_class'"):
    Cell(attack='likelihood_ratio', non_members='any_class')


def test_a_combination_reads_what_its_parts_read():
  """Else a sweep over its part's settings would be one cell; and over others', many."""
  axes = {'sketch': [16, 32], 'iterations': [1, 2], 'parts': ['loss+matched_filter']}
  cells = expand({'attack': ['combined', 'loss']} | axes, {})
  assert [(cell.attack, cell.sketch) for cell in cells] == [
    ('combined', 16),
    ('combined', 32),
    ('loss', None),
  ]


@pytest.mark.parametrize(
  ('attack', 'target'),
  [(name, target) for name, attack in ATTACKS.items() for target in attack.requires],
)
def test_what_is_not_given_is_as_the_library_has_it(attack, target):
  """The sweep ran the curvature filter with half of its sketch, and said nothing."""
  (cell,) = expand({'attack': [attack], 'target': [target]}, {})
  assert make_attack(cell) == ATTACKS[attack]()


def test_parts_of_a_combination_keep_their_own_defaults():
  """One number for both would override one of them."""
  (cell,) = expand(
    {
      'attack': ['combined'],
      'parts': ['curvature_filter+residual_filter'],
      'target': ['support'],
    },
    {},
  )
  found: list[Any] = [make_attack(part) for part in cell.alone]
  assert [(options.shadows, options.sketch) for options in found] == [(200, 4096), (100, 4096)]
  assert (cell.shadows, cell.sketch) == (None, 4096)
