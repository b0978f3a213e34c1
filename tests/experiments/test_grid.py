"""A cell is one configuration: checked, named by its content, and in its place in the grid."""

import itertools
import math
import os
import subprocess
import sys

import pytest

from experiments.config import grid
from experiments.config.attacks import PLAYED, Unplayable
from experiments.config.cell import Cell, Recipe
from experiments.config.columns import (
  FIELDS,
  columns_of,
  configuration,
  describe,
  make_cell,
  option_fields,
  read,
)
from experiments.store.cells import cell_hash
from mamljax.attacks import ATTACKS
from mamljax.defences import MECHANISM, NOISES
from mamljax.errors import InputError
from tests.experiments.configurations import OTHER, OTHER_OPTIONS, changed, make
from tests.experiments.tiny import ROOT

KEYS = {'chunk', 'fingerprint', 'code'}  # which say nothing to a person
# A cell of an attack that is given everything.
BASE = make(
  attack='matched_filter+residual_filter',
  epoch=1,
  defence='support_noise+dp_gaussian',
  noise_scale=0.5,
  clip=0.25,
)
# What BASE cannot have beside its attack.
ALONE = {
  'target': 'loss+residual_filter',
  'learners': 'loss',
  'assumed_order': 'residual_filter',
  'withheld': 'matched_filter',
}
OWNERS = [(owner, f.attribute) for owner in (*PLAYED, 'conv4') for f in option_fields(owner)]


def expand(axes) -> list[Cell]:
  """The cells of a grid of which all can be."""
  found = grid.expand(axes)
  assert not found.skipped
  return found.cells


def another(name: str) -> tuple[Cell, Cell]:
  """A cell that has a column, and one that differs in it."""
  base = changed(BASE, attack=ALONE[name]) if name in ALONE else BASE
  return base, changed(base, **{name: OTHER[name]})


def test_the_last_axis_varies_fastest():
  """Rows stand where a reader of the command line expects them."""
  axes = {'dataset': ['b', 'a'], 'ways': [5, 3], 'reconstruction.iterations': [10, 30, 20]}
  cells = expand(axes | {'seed': [4]})
  found = [(cell.data.dataset, cell.task.ways, cell.attack.iterations) for cell in cells]
  assert found == list(itertools.product(*axes.values()))
  assert {cell.seed for cell in cells} == {4}


def test_scales_without_a_defence_are_one_cell():
  """The undefended baseline must not be computed once for every scale."""
  names = ['none', 'query_noise']
  cells = expand({'defence': names, 'noise_scale': [0.1, 0.2], 'shots': [1, 2]})
  found = [(cell.defence.points, cell.defence.scale, cell.task.shots) for cell in cells]
  plain, noisy = [('none', 0.0)], [('query_noise', 0.1), ('query_noise', 0.2)]
  assert found == [(*noise, shots) for shots in (1, 2) for noise in plain + noisy]


def test_a_scale_of_0_in_a_list_is_the_undefended_cell():
  """The start of every noise figure: one cell, whichever defences the list is for."""
  names = ['query_noise', 'support_noise']
  axes = {'defence': names, 'noise_scale': [0.0, 0.1], 'clip_noisy_images': [True]}
  defences = [cell.defence for cell in expand(axes)]
  found = [(d.points, d.scale, d.clip_images) for d in defences]
  assert found == [('none', 0.0, False), *((name, 0.1, True) for name in names)]


def test_a_mean_alone_is_noise():
  """Every pixel brighter by 0.1 is a defence, however bad: not the undefended cell."""
  axes = {'defence': ['query_noise'], 'noise_scale': [0.0], 'noise_mean': [0.0, -0.1]}
  found = [(cell.defence.points, cell.defence.mean) for cell in expand(axes)]
  assert found == [('none', 0.0), ('query_noise', -0.1)]


@pytest.mark.parametrize('scales', [[0.0], [0.0, 0.0], []])
def test_a_defence_that_never_gets_noise_is_a_mistake(scales):
  """Reported as 'none', it would look as if it had been tried."""
  axes = {'defence': ['none', 'query_noise']} | ({'noise_scale': scales} if scales else {})
  with pytest.raises(InputError, match="'query_noise' needs a positive scale: give --noise_s"):
    expand(axes)


def test_the_same_cell_twice_is_one():
  """A value typed twice costs nothing."""
  assert expand({'ways': [3, 5, 3]}) == [make(ways=3), make(ways=5)]


def test_an_axis_without_values_is_named():
  """A grid of no cells would end at once, in silence."""
  with pytest.raises(InputError, match='ways'):
    expand({'dataset': ['mnist'], 'ways': []})


@pytest.mark.parametrize('name', OTHER)
def test_every_field_is_part_of_the_name(name):
  """Two configurations under one hash: the second would be given the first one's result."""
  base, other = another(name)
  assert columns_of(base)[name] != OTHER[name] == columns_of(other)[name]
  assert cell_hash(other) != cell_hash(base)


def test_every_field_has_a_second_value():
  """Else nothing would be known of it."""
  assert {*OTHER} == {*FIELDS} - {'attack'}
  assert {name for _, name in OWNERS} == {*OTHER_OPTIONS}


@pytest.mark.parametrize(('owner', 'name'), OWNERS)
def test_every_option_is_part_of_the_name(owner, name):
  """And of what is kept of a cell, from which it is made again."""
  targets = ATTACKS[owner].requires if owner in ATTACKS else ['query']
  attack = {'attack': owner, 'target': min(targets)} if owner in PLAYED else {}
  base, other = make(**attack), make(**attack, **{name: OTHER_OPTIONS[name]})
  assert cell_hash(other) != cell_hash(base)
  assert read(configuration(other)) == other
  assert describe(other) == f'{describe(base)} {owner}.{name}={OTHER_OPTIONS[name]}'


@pytest.mark.parametrize('name', OTHER)
def test_a_cell_is_made_again_of_what_is_kept_of_it(name):
  """Its pictures are found by it."""
  _, cell = another(name)
  assert read(configuration(cell)) == cell


def test_the_name_is_the_same_in_every_process():
  """A hash salted per process would never find a finished cell again."""
  code = 'from tests.experiments.test_grid import BASE, cell_hash\nprint(cell_hash(BASE))'
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=os.environ | {'PYTHONHASHSEED': '12345'},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == cell_hash(BASE)


@pytest.mark.parametrize('name', OTHER)
def test_a_recipe_is_what_the_parameters_depend_on(name):
  """Attacks on one model share its training; nothing about the attack may retrain it."""
  base, other = another(name)
  of_model = columns_of(base.recipe)
  assert (other.recipe == base.recipe) == (name not in of_model)
  of_attack = {'target', 'epoch', 'participations', 'learning_epoch', 'learners', 'non_members'}
  of_attack |= {'assumed_order', 'references', 'withheld', 'pool', 'trials', 'code', 'chunk'}
  assert {*OTHER} - {*of_model} == of_attack | {'calibration_trials'}
  assert isinstance(other.recipe, Recipe)


@pytest.mark.parametrize('name', sorted({*OTHER} - KEYS))
def test_a_cells_description_says_what_is_unusual_about_it(name):
  """The progress bar and --dry_run must tell the cells of a grid apart."""
  base, other = another(name)
  assert describe(other) != describe(base)
  assert describe(make()) == 'mnist_sample 3-way 1-shot query reconstruction'


@pytest.mark.parametrize(
  'name',
  [
    *('inner_learning_rate', 'noise_scale', 'outer_learning_rate'),
    *('learning_rate', 'decay', 'tv_weight', 'start_scale'),
  ],
)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, -0.5])
def test_a_number_that_cannot_be_is_named(name, value):
  """NaN compares false with everything: a careless check lets it through."""
  with pytest.raises(InputError, match=name) as error:
    make(**{name: value})
  assert '\n' not in str(error.value)
  assert str(value) in str(error.value)


@pytest.mark.parametrize('name', [*NOISES, MECHANISM])
def test_a_defence_needs_a_scale(name):
  """Noise of scale 0 under a defence's name would be reported as a defence that fails."""
  lacking = 'clip above 0: give --clips' if name == MECHANISM else 'positive scale'
  with pytest.raises(InputError, match=rf"'{name}' needs a {lacking}"):
    make(defence=name)


def test_what_an_attack_does_not_have_multiplies_nothing():
  """Two weights of a total variation that is not there are one cell, not two alike."""
  weights = {'reconstruction.tv_weight': [0.1, 0.2], 'matched_filter.ridge': [0.5, 1.0]}
  axes = {'attack': ['row_space', 'reconstruction'], 'calibration_trials': [50]} | weights
  found = [(columns_of(cell), cell.game.calibration_trials) for cell in expand(axes)]
  assert [(c['attack'], c.get('reconstruction.tv_weight'), trials) for c, trials in found] == [
    ('row_space', None, 0),
    *(('reconstruction', weight, 50) for weight in (0.1, 0.2)),
  ]


def test_options_of_networks_multiply_their_own_cells():
  """An MLP has no filters, whatever the list is."""
  axes = {'network': ['mlp', 'conv4'], 'conv4.filters': [4, 8]}
  found = [columns_of(cell).get('conv4.filters') for cell in expand(axes)]
  assert found == [None, 4, 8]


def test_what_an_attack_is_not_told_multiplies_nothing():
  """References, classes and assumed orders concern the attacks that require them."""
  told = {'references': [10, 20], 'withheld': ['none', 'classes'], 'assumed_order': [1, 2]}
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
    found = grid.expand({'attack': [attack], 'target': [target], **told})
    assert len(found.cells) == count, attack
    assert found.skipped.total() == (4 if attack == 'gradient_cosine_z' else 0)


def test_a_defence_moves_the_scores_so_that_trials_choose_the_threshold():
  """The threshold of an undefended gradient would decide noisy ones wrongly."""
  axes = {'attack': ['row_space'], 'defence': ['support_noise'], 'noise_scale': [0.0, 0.1]}
  found = [(cell.threshold, cell.game.calibration_trials) for cell in expand(axes)]
  assert found == [(-0.01, 0), (None, Cell().game.calibration_trials)]


@pytest.mark.parametrize(
  ('attack', 'target', 'message'),
  [
    ('loss+los', 'query', "unknown part of a combination 'los': did you mean 'loss'"),
    ('loss+likelihood_ratio', 'query', 'unknown part of a combination'),
    ('loss+loss', 'query', "two or more different attacks, not 'loss\\+loss'"),
    ('loss+matched_filter', 'support', "'matched_filter' has no target 'support'"),
  ],
)
def test_a_combination_of_what_cannot_be_combined_is_refused(attack, target, message):
  """In the middle of a sweep its other cells would be lost; the bound would be cheating."""
  with pytest.raises(InputError, match=message):
    make_cell(attack=attack, target=target)


@pytest.mark.parametrize('attack', ['loss+gradient_cosine', 'likelihood_ratio'])
def test_games_without_one_learner_are_refused(attack):
  """The candidate's learner would be guessed from the first one's part alone."""
  with pytest.raises(Unplayable, match='is for the game with learners=1 only'):
    make(attack=attack, learners=2)


def test_a_bound_needs_non_members_that_look_like_members():
  """A class that is known tells any other non-member: the bound would be too low."""
  with pytest.raises(Unplayable, match="non_members='same_class' only, not 'any_class'"):
    make(attack='likelihood_ratio', non_members='any_class')


def test_a_combination_has_the_options_of_its_parts():
  """Else a sweep over its part's settings would be one cell; and over others', many."""
  axes = {'matched_filter.sketch': [16, 32], 'reconstruction.iterations': [1, 2]}
  cells = expand({'attack': ['loss+matched_filter', 'loss']} | axes)
  found = [(cell.attack_name, columns_of(cell).get('matched_filter.sketch')) for cell in cells]
  assert found == [('loss+matched_filter', 16), ('loss+matched_filter', 32), ('loss', None)]


def test_what_cannot_be_is_left_out_and_told():
  """A list of targets for two attacks, of which each seeks one, was refused as a whole."""
  axes = {'attack': ['matched_filter', 'curvature_filter'], 'target': ['query', 'support']}
  found = grid.expand(axes)
  assert [(cell.attack_name, cell.game.target) for cell in found.cells] == [
    ('matched_filter', 'query'),
    ('curvature_filter', 'support'),
  ]
  assert sum('has no target' in reason for reason in found.skipped) == 2
  with pytest.raises(InputError, match="'matched_filter' has no target 'support'"):
    grid.expand({'attack': ['matched_filter'], 'target': ['support']})
