"""The filter that infers errors: what it takes for granted of the received gradient is so."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import ResidualFilter
from mamljax.attacks.residual_filter import _pull_back, _unit_errors
from mamljax.audit.metrics import auc
from mamljax.maml import InnerLoop, adapt, meta_gradient
from mamljax.types import Params
from tests.attacks.closed_form import (
  MEMBERS,
  alone,
  knowledge,
  scores,
  seen,
  small,
  told,
  trials,
)
from tests.attacks.plays import WAYS

pytestmark = pytest.mark.optimised


def logits(params: Params, images: jax.Array) -> jax.Array:
  """Of the network of `plays`, written out."""
  flat = images.reshape(len(images), -1)
  return jax.nn.softplus(5 * flat @ params['first']) / 5 @ params['second']


@pytest.mark.parametrize('inner', [InnerLoop(1, 0.1), InnerLoop(3, 0.5), InnerLoop(2, 0.1, 1)])
def test_the_gradient_is_the_errors_pulled_back(inner):
  """The identity that all rests on, g = K' e / n, for any number of steps and both orders."""
  known = dataclasses.replace(knowledge(), inner=inner)
  task = jax.tree.map(lambda leaf: leaf[0], trials('support')[0].task)
  theta = adapt(known.loss_fn, known.params, task.support, inner)
  wrong = jax.nn.softmax(logits(theta, task.query.images)) - jnp.eye(WAYS)[task.query.labels]
  pulled = _pull_back(known, task.support, task.query.images, WAYS)(wrong / len(wrong))
  sent = meta_gradient(known.loss_fn, known.params, task, inner)
  for leaf, expected in zip(*map(jax.tree.leaves, (pulled, sent)), strict=True):
    np.testing.assert_allclose(leaf, expected, atol=1e-6)


def test_unit_errors_span_what_errors_can_be():
  """Errors that they cannot make could not be inferred; others would not be pulled back."""
  units = np.asarray(_unit_errors(3, 4))
  np.testing.assert_allclose(units.sum(axis=-1), 0, atol=1e-7)
  assert np.linalg.matrix_rank(units.reshape(len(units), -1)) == len(units) == 3 * (4 - 1)


FEW = 32  # trials: each asks for hundreds of gradients


@functools.cache
def scored(target: str, rate: float, shift: int = 0) -> Any:
  """Scores and Info of the first trials, each seeing the gradient of one `shift` further on."""
  known = dataclasses.replace(knowledge(target), inner=InnerLoop(1, rate))
  play, classes = jax.tree.map(lambda leaf: leaf[:FEW], trials(target))
  rolled = jax.tree.map(lambda leaf: jnp.roll(leaf, shift, axis=0), seen(play, classes, known))
  attack = small(ResidualFilter, shadows=40, sketch=1024)
  return jax.tree.map(np.asarray, scores(attack, known, rolled, play.candidate))


# Of so few shadows the query attack needs a small step: it does not know the support set.
CASES = [
  pytest.param('support', 0.1, id='support'),
  pytest.param('query', 0.01, id='query', marks=pytest.mark.slow),  # a program of its own
]
CHANCE = 3 * ((FEW + 1) / (3 * FEW**2)) ** 0.5  # three deviations of the AUC


@pytest.mark.parametrize(('target', 'rate'), CASES)
def test_planted_members_outscore_non_members(target, rate):
  """Positive control: an attack that finds no planted member finds no leak either."""
  assert (auc(scored(target, rate)[0], MEMBERS[:FEW]) or 0) > 0.75


@pytest.mark.parametrize(('target', 'rate'), CASES)
def test_the_gradient_of_another_task_says_nothing(target, rate):
  """Null control: without information any AUC but 0.5 is a flaw of the game or the score."""
  found = scored(target, rate, shift=1)[0]
  assert auc(found, MEMBERS[:FEW]) == pytest.approx(0.5, abs=CHANCE)


def test_the_errors_are_found():
  """Were they not, the shadows would send gradients of another size and direction."""
  _, info = scored('support', 0.1)
  task, known = trials('support')[0].task, knowledge()
  inner = InnerLoop(1, 0.1)

  def errors(support, query):
    theta = adapt(known.loss_fn, known.params, support, inner)
    wrong = jax.nn.softmax(logits(theta, query.images)) - jnp.eye(WAYS)[query.labels]
    return wrong / len(wrong)

  truth = np.asarray(jax.vmap(errors)(task.support, task.query))[:FEW]
  off = np.linalg.norm(info.errors - truth, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))
  assert np.median(off) < 0.6


def test_without_adaptation_the_support_attack_ended_in_not_finite():
  """A natural baseline: nothing that a shadow sends depends on its support set."""
  np.testing.assert_array_equal(scored('support', 0.0)[0], 0)


def test_a_member_moves_the_gradient_as_far_as_expected():
  """Else the threshold of zero, half way, would be no threshold."""
  _, info = scored('support', 0.1)
  share, member = info.response / info.energy, MEMBERS[:FEW]
  assert np.median(share[member]) == pytest.approx(1, abs=0.35)
  assert np.median(share[~member]) == pytest.approx(0, abs=0.35)


def test_what_is_not_known_is_named():
  """Shadows cannot be drawn, or adapt, without what the attack says that it requires."""
  known = knowledge('support')
  one = jax.tree.map(lambda leaf: leaf[0], (told('support'), trials('support')[0].candidate))
  seen, candidate = one
  for lacking, said in (
    ((known, seen._replace(query_set=None)), 'query set not known|without the query set'),
    ((dataclasses.replace(known, inner=None), seen), 'without the inner loop'),
    ((dataclasses.replace(known, references=None), seen), 'without references'),
    ((known, seen._replace(classes=None)), 'classes of slots are not told'),
  ):
    with pytest.raises(ValueError, match=said):
      alone(small(ResidualFilter), *lacking, candidate)
