"""Settings of different attacks are different to JAX, which keeps a program for each."""

import itertools

import jax
import pytest

from mamljax import ATTACKS, Defence, InnerLoop, Knowledge
from mamljax.audit.trials import Rules, Setting


def loss(params, batch):
  """A loss that needs no parameters."""
  del params
  return batch.images.mean()


def setting(attack) -> Setting:
  """A setting in which nothing but the attack differs."""
  known, inner = Knowledge(loss, {}), InnerLoop(1, 0.1)
  shared = {'inner': inner, 'defence': Defence(), 'rules': Rules(2, 1, 'query'), 'chunk': 2}
  return Setting(knowledge=known, prepared=None, attack=attack, **shared)


@pytest.mark.parametrize(('one', 'other'), [*itertools.combinations(ATTACKS, 2)])
def test_no_attack_is_scored_by_the_program_of_another(one, other):
  """JAX holds dataclasses without fields for equal: one cosine in a hundred was a row space."""
  first, second = (jax.tree.structure(setting(ATTACKS[name]())) for name in (one, other))
  assert first != second
  assert first == jax.tree.structure(setting(ATTACKS[one]()))


def test_a_setting_survives_a_map_over_its_leaves():
  """As when it is spread over devices."""
  whole = setting(ATTACKS['matched_filter']())
  assert jax.tree.map(lambda leaf: leaf, whole) == whole
