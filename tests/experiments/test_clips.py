"""Clips on a command line: a mechanism with its two numbers, in cells and in an audit."""

from typing import Any, cast

import pytest

from experiments.auditing import learner
from experiments.config import grid
from experiments.config.cell import Cell
from mamljax.defences import Defence, DPGaussian
from mamljax.errors import InputError
from mamljax.protocol import Learner


def expand(axes) -> list[Cell]:
  """The cells of a grid."""
  return grid.expand(axes).cells


def test_a_clip_belongs_to_its_defence_alone():
  """Without noise it still is a defence; noise elsewhere has no use for it."""
  names = ['none', 'query_noise', 'dp_gaussian', 'query_noise+dp_gaussian']
  axes = {'noise_scale': [0.0, 0.1], 'clip': [0.5], 'noise_multiplier': [0.0, 2.0]}
  found = [cell.defence for cell in expand({'defence': names, **axes})]
  assert [(d.points, d.scale, d.clip, d.noise_multiplier) for d in found] == [
    ('none', 0.0, 0.0, 0.0),
    ('query_noise', 0.1, 0.0, 0.0),
    ('dp_gaussian', 0.0, 0.5, 0.0),
    ('dp_gaussian', 0.0, 0.5, 2.0),
    ('query_noise+dp_gaussian', 0.1, 0.5, 0.0),
    ('query_noise+dp_gaussian', 0.1, 0.5, 2.0),
  ]


@pytest.mark.parametrize(
  ('axes', 'message'),
  [
    ({'defence': ['dp_gaussian']}, "'dp_gaussian' needs a clip above 0: give --clips"),
    ({'defence': ['dp_gaussian'], 'clip': [0.0]}, "'dp_gaussian' needs a clip above 0"),
    ({'defence': ['dp_gaussian'], 'clip': [0.1, 0.0]}, "'dp_gaussian' needs a clip above 0"),
    (
      {'noise_multiplier': [2.0]},
      'a noise multiplier of 2 needs a clip: give --clips',
    ),
  ],
)
def test_a_mechanism_without_a_clip_is_a_mistake(axes, message):
  """A clip of 0 sends nothing, and noise without one guarantees nothing."""
  with pytest.raises(InputError, match=message):
    expand(axes)


def declared(**given) -> Learner:
  """The learner of the flags' defaults, but for the given values."""
  plain = {'steps': 1, 'optimizer': 'sgd', 'rate': 0.1, 'sends': 'maml', 'defence': 'none'}
  return learner.described(**cast(Any, plain | given))


def test_an_audits_learner_has_the_mechanism_that_is_asked_for():
  """From the command line as from Python."""
  found = declared(defence='dp_gaussian', clip=0.5, noise_multiplier=2.0)
  assert found.defence == Defence(outgoing=DPGaussian(0.5, 2.0))
  assert declared().defence is None


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'defence': 'dp_gaussian'}, '--defence=dp_gaussian and --clip=0 do not go together'),
    ({'clip': 0.5}, '--defence=none and --clip=0.5 do not go together'),
    ({'noise_multiplier': 2.0}, '--noise_multiplier=2 needs a --clip'),
  ],
)
def test_an_audit_refuses_half_a_mechanism(given, message):
  """It would report the leak of a learner without it."""
  with pytest.raises(InputError, match=message):
    declared(**given)
