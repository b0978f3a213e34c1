"""Proposition 3.1 for the appendix's single neuron: the right Hessian, and the match."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mamljax import Batch, InnerLoop, Task, maml
from mamljax.identifiability import match_neuron, neuron_gradient, neuron_hessian, neuron_loss

numbers = st.floats(-2, 2).map(lambda x: round(x, 3))  # no subnormal numbers
rates = st.floats(0.01, 0.2)


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def neuron_task(support, query) -> Task:
  """Two pairs (x, y) as the sets of a task."""
  pairs = (support, query)
  return Task(*(Batch(jnp.full((1, 1, 1, 1), x), jnp.array([y], float)) for x, y in pairs))


@jax.jit
def neuron_sends(w, task: Task, rate):
  return maml.meta_gradient(neuron_loss, w, task, InnerLoop(1, rate))


def slopes(function, w: np.ndarray, step: float = 1e-5) -> np.ndarray:
  """Central differences."""
  steps = step * np.eye(2)
  return np.stack([(function(w + d) - function(w - d)) / (2 * step) for d in steps], axis=-1)


@settings(deadline=None)
@given(numbers, numbers, numbers, numbers)
def test_derivatives_are_those_of_finite_differences(a, b, x, y):
  """Else the appendix's formulas would still be wrong, if in another way."""
  assume(abs(a * x + b) > 1e-3)
  w = np.array([a, b])

  def loss(w: np.ndarray) -> np.ndarray:
    return (np.maximum(w[0] * x + w[1], 0) - y) ** 2

  def derivative(w: np.ndarray) -> np.ndarray:
    return slopes(loss, w)

  np.testing.assert_allclose(neuron_gradient(jnp.array(w), x, y), slopes(loss, w), atol=1e-7)
  hessian = neuron_hessian(jnp.array(w), x)
  np.testing.assert_allclose(hessian, slopes(derivative, w), atol=1e-4)


@settings(deadline=None)
@given(*[numbers] * 6, rates, numbers, numbers)
def test_the_matching_query_example_sends_the_same_gradient(a, b, x, y, u, v, rate, p, q):
  """Else the proposition fails where it is to hold: for a single neuron."""
  w = jnp.array([a, b])
  received = neuron_sends(w, neuron_task((x, y), (u, v)), rate)
  theta = w - rate * neuron_gradient(w, p, q)
  assume(np.linalg.norm(received) > 1e-3 and abs(w @ jnp.array([p, 1])) > 1e-6)
  assume(np.linalg.cond(np.eye(2) - rate * neuron_hessian(w, p)) < 100)
  query = jax.jit(match_neuron)(w, received, p, q, rate)
  assume(query.exists and abs(query.x) < 10 and theta @ jnp.array([query.x, 1]) > 1e-6)
  sent = neuron_sends(w, neuron_task((p, q), (query.x, query.y)), rate)
  assert np.linalg.norm(sent - received) < 1e-8 * np.linalg.norm(received)


@pytest.mark.parametrize(
  ('x', 'y', 'rate'),
  [
    (2.0, -3.0, 0.15),  # x_q would be on the inactive side
    (1.0, 0.5, 0.25),  # 2 alpha (x^2 + 1) = 1: singular
  ],
)
def test_where_the_neuron_has_no_match_none_is_found(x, y, rate):
  """Else `exists` would send whoever looks for other data away for nothing."""
  w = jnp.array([0.7, 0.2])
  received = neuron_sends(w, neuron_task((0.8, 0.3), (2.0, 3.0)), rate)
  assert not match_neuron(w, received, x, y, rate).exists
  tried = jnp.meshgrid(jnp.linspace(-5, 5, 101), jnp.linspace(-20, 20, 201))

  def try_query(u, v):
    return neuron_sends(w, neuron_task((x, y), (u, v)), rate)

  sent = jax.vmap(try_query)(*map(jnp.ravel, tried))
  assert np.linalg.norm(sent - received, axis=1).min() > 0.05 * np.linalg.norm(received)


def test_what_an_inactive_neuron_sends_is_matched_by_no_error():
  """g' = 0 has no direction, but every example without error sends it."""
  w = jnp.array([0.7, 0.2])
  query = match_neuron(w, jnp.zeros(2), 0.5, 0.9, 0.05)
  assert query.exists
  task = neuron_task((0.5, 0.9), (query.x, query.y))
  np.testing.assert_allclose(neuron_sends(w, task, 0.05), 0, atol=1e-12)
