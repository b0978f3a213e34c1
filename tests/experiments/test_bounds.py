"""A number far beyond what can be computed is refused when it is read, in every flag."""

import itertools
import math
import re
from typing import Any

import pytest
from absl import flags as absl_flags

from experiments.config import grid
from experiments.config.attacks import PLAYED
from experiments.config.columns import FIELDS, find_field, make_cell, option_fields
from experiments.config.networks import OPTIONS
from mamljax.errors import InputError
from tests.experiments.test_sharing import how as read_operation
from tests.experiments.tiny import ROOT, finish, mistaken, refused, start

ALL = [*FIELDS.values(), *(f for owner in (*PLAYED, *OPTIONS) for f in option_fields(owner))]
NUMBERS = [field.column for field in ALL if field.kind in (int, float) and not field.known]


def test_every_number_of_a_cell_has_bounds():
  """--iterations=4e9 or --image_size=1e23 ended in a traceback, or never."""
  assert all(find_field(column).bounds for column in NUMBERS)


@pytest.mark.parametrize('column', NUMBERS)
def test_a_number_far_beyond_is_named_with_its_bound(column):
  """Too great, infinite or none; what has a unit is told in it."""
  field = find_field(column)
  assert field.bounds
  _, most, unit = field.bounds
  whole = field.kind is int
  said = f'at most {most:,} {unit}' if whole else f'at most {most:g}'
  for value in (int(most) + 1, 10**23) if whole else (1e38, 1e300, math.inf):
    refuses(column, value, f'^{column} must be a number of {re.escape(said.strip())}, not')
  if not whole:
    refuses(column, math.nan, f'^{column} must be a number of at least .*, not nan')


def refuses(column: str, value: Any, message: str) -> None:
  """A cell of this value cannot be."""
  owner = column.rpartition('.')[0]
  attack = {'attack': owner} if owner in PLAYED else {}
  with pytest.raises(InputError, match=message):
    make_cell(**attack, **{column: value})


def test_every_flag_that_is_a_number_has_bounds():
  """Those that no cell has, too: --lease_seconds=inf never gave up a claim."""
  sources = [path.read_text() for path in (ROOT / 'experiments').rglob('*.py')]
  assert not [found for s in sources for found in re.findall(r'DEFINE_(?:integer|float)', s)]


@pytest.mark.parametrize('typed', ['lease_seconds=inf', 'save_seconds=inf', 'max_failures=9e9'])
def test_a_patience_without_end_is_refused(typed):
  """A claim that never expires blocks its cell for ever."""
  with pytest.raises(absl_flags.Error, match=typed.partition('=')[0]):
    read_operation(f'--{typed}')


def test_a_grid_is_counted_before_it_is_built():
  """10^12 cells filled the memory before they were refused."""
  rates = [index / 10**6 for index in range(10**4)]
  names = ('inner_learning_rate', 'outer_learning_rate', 'reconstruction.tv_weight')
  axes: dict[str, Any] = dict.fromkeys(names, rates)
  with pytest.raises(
    InputError, match='a grid of 1,000,000,000,000 cells, and at most 200,000'
  ):
    grid.expand(axes)


def test_values_typed_twice_do_not_count():
  """They cost nothing, so they are no reason to refuse."""
  axes = {'ways': [3, 5] * 10**3, 'seed': [0, 1] * 10**3}
  found = [(cell.task.ways, cell.seed) for cell in grid.expand(axes).cells]
  assert found == list(itertools.product([3, 5], [0, 1]))


@pytest.mark.parametrize(
  ('axes', 'message'),
  [
    ({'defence': ['none'], 'noise_scale': [math.nan]}, 'noise_scale must be .* not nan'),
    ({'defence': ['none'], 'noise_mean': [math.inf]}, 'noise_mean must be .* not inf'),
    ({'attack': ['loss'], 'reconstruction.judge': ['mes']}, "unknown .* mean 'mse'"),
    ({'defence': ['query_nois', 'query_noise'], 'noise_scale': [0.0]}, "mean 'query_noise'"),
  ],
)
def test_a_value_that_is_not_used_is_checked_all_the_same(axes, message):
  """--noise_scales=nan and --judges=mes were taken where nothing read them."""
  with pytest.raises(InputError, match=message):
    grid.expand(axes)


def test_commands_with_flags_of_their_own_refuse_them_too(tmp_path):
  """Each command reads its flags by itself; status as a user starts it, since it says so."""
  folder = f'--output_dir={tmp_path / "out"}'
  looking = start([folder, '--lease_seconds=inf'], module='status')
  typed = ['--rounds=4000000000', '--iterations=4000000000']
  for one, ended in zip(typed, mistaken('growth', [[folder, t] for t in typed]), strict=True):
    refused(ended, f'{one}.* must be a number of at most', program='growth')
  refused(finish(looking), 'lease_seconds must be .* at most 2,592,000 s', program='status')
