"""The appendix's single neuron, J = (ReLU(a x + b) - y)^2, with the right Hessian.

The paper's (13) is not a Hessian; (12) should read f_z. Proposition 3.1, that a
meta-gradient does not determine the data behind it, holds with the right one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import Batch, InnerLoop, Task, meta_gradient
from tests.certificate.problems import EXACT, relative_error

W = np.array([0.7, 0.2])  # a, b
RATE = 0.05
ACTIVE = [(0.8, 0.3), (-0.1, 1.5), (2.0, 3.0)]  # x, y with a x + b > 0
INACTIVE = (-1.0, 0.4)


def neuron_loss(w, batch: Batch):
  """The mean of J over a batch of one-pixel images."""
  return ((jax.nn.relu(w[0] * batch.images.ravel() + w[1]) - batch.labels) ** 2).mean()


def example(x, y) -> Batch:
  """One example as a batch."""
  return Batch(jnp.full((1, 1, 1, 1), x), jnp.full((1,), y))


def gradient(w, x, y):
  """Equation 11 on the active side."""
  return 2 * (w[0] * x + w[1] - y) * np.array([x, 1.0])


def hessian(x):
  """The derivative of `gradient` in a and b: y has no part in it."""
  return 2 * np.array([[x**2, x], [x, 1.0]])


def printed_hessian(x, y):
  """Equation 13 on the active side, as the paper prints it."""
  return 2 * np.array([[x * (x - y), x * (1 - y)], [x - y, 1 - y]])


@pytest.mark.parametrize(('x', 'y'), ACTIVE)
def test_hessian_on_the_active_side(x, y):
  """Else the formula in the documentation is as wrong as the printed one."""
  found = jax.jit(jax.hessian(neuron_loss))(W, example(x, y))
  np.testing.assert_allclose(found, hessian(x), rtol=EXACT)


@pytest.mark.parametrize(('x', 'y'), ACTIVE)
def test_printed_hessian_is_none(x, y):
  """Second derivatives commute, so a matrix that is not symmetric is no Hessian."""
  printed = printed_hessian(x, y)
  assert abs(printed[0, 1] - printed[1, 0]) > 0.1
  assert relative_error(printed, hessian(x)) > 0.1


@pytest.mark.parametrize(('query_x', 'query_y'), ACTIVE)
@pytest.mark.parametrize(('x', 'y'), ACTIVE)
def test_one_step_by_hand(x, y, query_x, query_y):
  """(I - rate H_s(w)) times the query gradient at theta: the paper's (6), its signs mended."""
  theta = W - RATE * gradient(W, x, y)
  assert theta @ [query_x, 1] > 0, 'the query example must be on the active side too'
  expected = (np.eye(2) - RATE * hessian(x)) @ gradient(theta, query_x, query_y)
  task = Task(example(x, y), example(query_x, query_y))
  found = {k: meta_gradient(neuron_loss, W, task, InnerLoop(1, RATE, order=k)) for k in (1, 2)}
  assert relative_error(found[2], expected) < EXACT
  assert relative_error(found[1], expected) > 0.01  # the negative control


def test_an_inactive_neuron_sends_nothing_and_learns_nothing():
  """Else something flows through a ReLU that is switched off."""
  on, off = example(*ACTIVE[0]), example(*INACTIVE)
  inner = InnerLoop(1, RATE)
  np.testing.assert_array_equal(jax.jit(jax.hessian(neuron_loss))(W, off), np.zeros((2, 2)))
  np.testing.assert_array_equal(meta_gradient(neuron_loss, W, Task(on, off), inner), [0, 0])
  unadapted = meta_gradient(neuron_loss, W, Task(off, on), inner)
  np.testing.assert_allclose(unadapted, gradient(W, *ACTIVE[0]), rtol=EXACT)


def test_different_tasks_send_the_same_gradient():
  """Proposition 3.1: for any other support example there is a query example to match."""
  support, query = ACTIVE[0], ACTIVE[2]
  inner = InnerLoop(1, RATE)
  sent = meta_gradient(neuron_loss, W, Task(example(*support), example(*query)), inner)
  other = (0.5, 0.9)
  theta = W - RATE * gradient(W, *other)
  # The query gradient is 2 (residual) [x, 1]: solve for it, then for x and y.
  slope, intercept = np.linalg.solve(np.eye(2) - RATE * hessian(other[0]), sent)
  x = slope / intercept
  y = theta @ [x, 1] - intercept / 2
  assert theta @ [x, 1] > 0, 'the matching query example must be on the active side'
  forged = meta_gradient(neuron_loss, W, Task(example(*other), example(x, y)), inner)
  assert abs(x - query[0]) > 0.01
  assert relative_error(forged, sent) < EXACT
