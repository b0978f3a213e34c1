"""Messages of every learner against trajectories written out in NumPy, differentiated there."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import ImplicitMAML, Learner, adapt
from tests.certificate import by_hand
from tests.certificate.by_hand import flat, gradient, loss, mlp_loss, slope
from tests.certificate.problems import EXACT, meta_gradient, relative_error

STEPS, RATE = 3, 0.1
PARAMS, TASK = by_hand.make_problem()
W = flat(PARAMS)
RATES = jax.tree.map(lambda p: np.random.default_rng(p.size).uniform(0.5, 2, p.shape), PARAMS)
FACTORS = flat(RATES)
ONES = np.ones(len(W))


class Rule(NamedTuple):
  """An optimiser by hand: from the gradient, its number and a state to step and state."""

  start: tuple
  step: Callable


def _plain(g, count, state):
  return RATE * g, state


def _momentum(g, count, state):
  (trace,) = state
  trace = g + 0.9 * trace
  return RATE * trace, (trace,)


def _adam(g, count, state):
  mean, square = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g**2
  unbiased = mean / (1 - 0.9**count), square / (1 - 0.999**count)
  return RATE * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8), (mean, square)


PLAIN = RATE, Rule((), _plain)
MOMENTUM = optax.sgd(RATE, momentum=0.9), Rule((0,), _momentum)
ADAM = optax.adam(RATE), Rule((0, 0), _adam)
OPTIMIZERS = {'plain': PLAIN, 'momentum': MOMENTUM, 'adam': ADAM}
# Which parameters adapt: all, those of the head (ANIL), those of the body (BOIL).
IS_HEAD = np.concatenate(
  [np.full(leaf.size, 1.0 * (name == 'out')) for name, leaf in sorted(PARAMS.items())]
)
MASKS = {
  'all': (None, ONES),
  'head': (lambda path: path == 'out', IS_HEAD),
  'body': (lambda path: path != 'out', 1 - IS_HEAD),
}


def trajectory(w, rule: Rule, factors=ONES, mask=ONES, pull=0.0, steps=STEPS):
  """theta after some steps, the state of the rule beginning anew; numbers may be complex."""
  theta, state = w, rule.start
  for count in range(1, steps + 1):
    slope_here = gradient(theta, TASK.support) + pull * (theta - w)
    step, state = rule.step(slope_here, count, state)
    theta = theta - mask * factors * step
  return theta


@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_exact_maml_through_any_optimizer(optimizer, mask):
  """Else the state of an optimiser is not differentiated, or another gradient is sent."""
  (given, rule), (trainable, kept) = OPTIMIZERS[optimizer], MASKS[mask]
  learner = Learner(STEPS, given, trainable=trainable)
  expected = slope(lambda w: loss(trajectory(w, rule, mask=kept), TASK.query), W)
  found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
  assert relative_error(found, expected) < EXACT
  still = gradient(trajectory(W, rule, mask=kept), TASK.query)
  first = meta_gradient(mlp_loss, PARAMS, TASK, dataclasses.replace(learner, sends='fomaml'))
  assert relative_error(first, still) < EXACT
  assert relative_error(first, expected) > 0.01  # the negative control


@pytest.mark.parametrize('mask', ['all', 'head'])
@pytest.mark.parametrize('optimizer', ['plain', 'adam'])
def test_rates_of_each_parameter_send_their_own_gradient(optimizer, mask):
  """Meta-SGD: both gradients are exact, and the first order takes gradients for constants."""
  (given, rule), (trainable, kept) = OPTIMIZERS[optimizer], MASKS[mask]
  learner = Learner(STEPS, given, RATES, trainable)

  def query(both):
    w, factors = np.split(both, 2)
    return loss(trajectory(w, rule, factors, kept), TASK.query)

  expected = slope(query, np.concatenate([W, FACTORS]))
  found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
  assert relative_error(found, expected) < EXACT
  theta = trajectory(W, rule, FACTORS, kept)
  at_theta = gradient(theta, TASK.query)
  first = meta_gradient(mlp_loss, PARAMS, TASK, dataclasses.replace(learner, sends='fomaml'))
  assert relative_error(first.gradient, at_theta) < EXACT
  assert relative_error(first.rates, (theta - W) / FACTORS * at_theta) < EXACT


@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_reptile_and_delta_are_the_ends_of_the_trajectory(optimizer, mask):
  """The sign of either, and nothing of the query set in them."""
  (given, rule), (trainable, kept) = OPTIMIZERS[optimizer], MASKS[mask]
  theta = trajectory(W, rule, FACTORS, kept)
  other = TASK._replace(query=TASK.support)
  for name, expected in (('reptile', W - theta), ('delta', theta - W)):
    learner = Learner(STEPS, given, RATES, trainable, name)
    found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
    assert relative_error(found, expected) < EXACT
    again = meta_gradient(mlp_loss, PARAMS, other, learner)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, found, again))


@pytest.mark.parametrize('mask', MASKS)
def test_implicit_maml_solves_its_system(mask):
  """(I + H / lambda) v = grad L_q, solved densely; a step of one optimiser as of another."""
  strength, (trainable, kept) = 2.0, MASKS[mask]
  learner = Learner(STEPS, RATE, None, trainable, ImplicitMAML(strength, 60))
  theta = trajectory(W, PLAIN[1], mask=kept, pull=strength)
  hessian = slope(lambda at: gradient(at, TASK.support), theta)
  on, right = kept == 1, gradient(theta, TASK.query)
  expected = right.copy()
  expected[on] = np.linalg.solve(np.eye(on.sum()) + hessian[on][:, on] / strength, right[on])
  expected[~on] -= hessian[~on][:, on] @ expected[on] / strength
  found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
  assert relative_error(found, expected) < EXACT
  assert relative_error(adapt(mlp_loss, PARAMS, TASK.support, learner), theta) < EXACT


@pytest.mark.parametrize('mask', ['all', 'body'])
def test_implicit_maml_is_exact_at_the_minimum(mask):
  """There it is the derivative of the query loss of the minimum, whatever way led to it."""
  strength, (trainable, kept) = 1.0, MASKS[mask]
  learner = Learner(120, 0.5, None, trainable, ImplicitMAML(strength, 60))
  rule = Rule((), lambda g, count, state: (0.5 * g, state))
  expected = slope(
    lambda w: loss(trajectory(w, rule, mask=kept, pull=strength, steps=120), TASK.query), W
  )
  found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
  assert relative_error(found, expected) < 1e-9
  plain = meta_gradient(mlp_loss, PARAMS, TASK, Learner(120, 0.5, trainable=trainable))
  assert relative_error(plain, expected) > 0.01  # the negative control


def test_a_function_of_ones_own_is_sent_as_it_is():
  """Differentiation through `adapt` makes MAML of it, with the learner's optimiser."""

  def message(loss_fn, params, task, adapt):
    return jax.grad(lambda w: loss_fn(adapt(w, task.support), task.query))(params)

  learner = Learner(STEPS, ADAM[0], sends=message)
  found = meta_gradient(mlp_loss, PARAMS, TASK, learner)
  expected = meta_gradient(mlp_loss, PARAMS, TASK, Learner(STEPS, ADAM[0]))
  assert relative_error(found, expected) < EXACT
