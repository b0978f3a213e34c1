"""The attacks of a grid, and their options: all of them, and each with its own defaults."""

import pytest

from experiments.config import grid
from mamljax.attacks import ATTACKS
from mamljax.attacks.base import needs_of


def test_all_attacks_are_those_that_seek_the_set():
  """What a user means who names none."""
  cells = grid.expand({'attack': ['all'], 'target': ['support']}).cells
  assert [cell.attack_name for cell in cells] == [
    name for name, attack in ATTACKS.items() if 'support' in attack.requires
  ]


@pytest.mark.parametrize(
  ('attack', 'target'), [(name, target) for name, a in ATTACKS.items() for target in a.requires]
)
def test_what_is_not_given_is_as_the_library_has_it(attack, target):
  """The sweep ran the curvature filter with half of its sketch, and said nothing."""
  (cell,) = grid.expand({'attack': [attack], 'target': [target]}).cells
  assert cell.attack == ATTACKS[attack]()
  assert ('references' in needs_of(cell.attack, target)) == (cell.game.references is not None)


def test_parts_of_a_combination_keep_their_own_defaults():
  """One number for both would override one of them."""
  axes = {'attack': ['curvature_filter+residual_filter'], 'target': ['support']}
  (cell,) = grid.expand(axes).cells
  found: list = [part.attack for part in cell.alone]
  assert [(attack.shadows, attack.sketch) for attack in found] == [(200, 4096), (100, 4096)]
