"""Proposition 3.1 for networks: when other data send the same gradient, and when none can."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mamljax import Batch, InnerLoop, Task, maml
from mamljax.identifiability import (
  distance_to_row_space,
  least_mismatch,
  match_network,
  query_gradient,
  relu_imbalance,
)

ACTIVATIONS = {'tanh': jnp.tanh, 'relu': jax.nn.relu}
SIZES = (8, 2, 1)  # inputs, hidden units, outputs
INNER = InnerLoop(1, 0.1)


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


@functools.cache
def regression(activation: str):
  """The mean squared error of a network with one hidden layer: its labels are targets."""

  def loss(params, batch: Batch) -> jax.Array:
    x = batch.images.reshape(len(batch.images), -1)
    first, second = params['Dense_0'], params['Dense_1']
    hidden = ACTIVATIONS[activation](x @ first['kernel'] + first['bias'])
    return ((hidden @ second['kernel'] + second['bias'] - batch.labels) ** 2).mean()

  return loss


meta_gradient = jax.jit(maml.meta_gradient, static_argnums=0)
fit = jax.jit(match_network, static_argnums=0)
want = jax.jit(query_gradient, static_argnums=0)


def parameters(rng: np.random.Generator, sizes: tuple[int, int, int]):
  """Normal weights and biases of a network with these numbers of units."""
  inputs, hidden, outputs = sizes
  return {
    name: {'kernel': jnp.array(rng.normal(size=shape)), 'bias': jnp.array(rng.normal(size=b))}
    for name, shape, b in (
      ('Dense_0', (inputs, hidden), hidden),
      ('Dense_1', (hidden, outputs), outputs),
    )
  }


def batch(rng: np.random.Generator, count: int, pixels: int, outputs: int = 1) -> Batch:
  """Images of noise with normal targets."""
  images, targets = rng.uniform(size=(count, 1, pixels, 1)), rng.normal(size=(count, outputs))
  return Batch(jnp.array(images), jnp.array(targets))


def two_tasks(rng: np.random.Generator) -> tuple[Task, Task]:
  """Tasks for networks of `SIZES`, with more query images than it takes to match one."""
  first, second = (Task(batch(rng, 5, 8), batch(rng, 8, 8)) for _ in range(2))
  return first, second


def wide_problem(rng: np.random.Generator):
  """Parameters of a network wider than its task is large, the task, other support images."""
  task = Task(batch(rng, 2, 10), batch(rng, 2, 10))
  return parameters(rng, (10, 8, 1)), task, batch(rng, 2, 10)


def mismatch(found, expected) -> float:
  """The norm of the difference of two pytrees over the norm of the second."""
  found, expected = ravel_pytree(found)[0], ravel_pytree(expected)[0]
  return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize('seed', [0, 1, 3])
def test_a_small_network_sends_the_same_gradient_for_other_data(seed):
  """Else the proposition would hold for a single neuron only."""
  rng, loss_fn = np.random.default_rng(seed), regression('tanh')
  params = parameters(rng, SIZES)
  task, other = two_tasks(rng)
  received = meta_gradient(loss_fn, params, task, INNER)
  found = fit(loss_fn, params, received, other.support, other.query, INNER)
  sent = meta_gradient(loss_fn, params, Task(other.support, found.query), INNER)
  assert mismatch(sent, received) < 1e-12
  assert float(found.mismatch) < 1e-12
  apart = np.abs(np.asarray(task.query.images)[:, None] - np.asarray(found.query.images))
  assert apart.max(axis=(2, 3, 4)).min() > 0.1  # no image of the one is in the other
  assert 0 < found.query.images.min() < found.query.images.max() < 1


@pytest.mark.parametrize('steps', [1, 3])
def test_equation_8_is_inverted(steps):
  """Pulled back through the adaptation, g' must be g."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params, received = parameters(rng, SIZES), parameters(rng, SIZES)
  support, inner = two_tasks(rng)[0].support, InnerLoop(steps, 0.1)
  theta, wanted = want(loss_fn, params, received, support, inner)
  adapted, pull = jax.vjp(lambda w: maml.adapt(loss_fn, w, support, inner), params)
  assert mismatch(theta, adapted) < 1e-12
  assert mismatch(pull(wanted)[0], received) < 1e-10


def test_invertibility_is_that_of_the_right_matrix():
  """Else the proposition's first condition is checked on another matrix than I - alpha H."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params = parameters(rng, SIZES)
  task, _ = two_tasks(rng)
  flat, unravel = ravel_pytree(params)
  hessian = jax.jit(jax.hessian(lambda w: loss_fn(unravel(w), task.support)))(flat)
  found = fit(loss_fn, params, params, *task, INNER)
  expected = np.abs(1 - INNER.learning_rate * np.linalg.eigvalsh(hessian)).min()
  np.testing.assert_allclose(found.invertibility, expected, rtol=1e-8)


@pytest.mark.parametrize(('steps', 'order'), [(0, 2), (1, 2), (3, 2), (3, 1)])
def test_the_row_space_tells_a_tasks_images(steps, order):
  """The certificate: members are in it but for rounding, and no other image is near."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params, inner = parameters(rng, (30, 16, 2)), InnerLoop(steps, 0.05, order=order)
  support, query, others = (batch(rng, 3, 30, 2) for _ in range(3))
  layer = meta_gradient(loss_fn, params, Task(support, query), inner)['Dense_0']
  distances = [distance_to_row_space(layer, b.images) for b in (support, query, others)]
  assert distances[1].max() < 1e-10
  assert distances[2].min() > 0.1
  if steps and order == 2:
    assert distances[0].max() < 1e-10
  else:  # first-order MAML sends nothing of the support set
    assert distances[0].min() > 0.1


def test_a_narrow_first_layer_tells_nothing():
  """The negative control: with more images than units, members are outside too."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  task, _ = two_tasks(rng)
  sent = meta_gradient(loss_fn, parameters(rng, SIZES), task, INNER)
  assert distance_to_row_space(sent['Dense_0'], task.query.images).max() > 0.1


def test_the_distance_is_that_of_least_squares():
  """An independent oracle, for images in and out of the row space."""
  rng = np.random.default_rng(0)
  layer = {'kernel': jnp.array(rng.normal(size=(9, 4))), 'bias': jnp.array(rng.normal(size=4))}
  images = batch(rng, 5, 9).images
  columns = np.vstack([np.asarray(images).reshape(5, 9).T, np.ones(5)])
  matrix = np.vstack([layer['kernel'], layer['bias']])
  rest = columns - matrix @ np.linalg.lstsq(matrix, columns)[0]
  expected = np.linalg.norm(rest, axis=0) / np.linalg.norm(columns, axis=0)
  np.testing.assert_allclose(distance_to_row_space(layer, images), expected, rtol=1e-10)
  rest = matrix - columns @ np.linalg.lstsq(columns, matrix)[0]
  expected = np.linalg.norm(rest) / np.linalg.norm(matrix)
  np.testing.assert_allclose(least_mismatch(layer, images), expected, rtol=1e-10)


@pytest.mark.parametrize('free', [0, 1, 2])
def test_no_task_comes_nearer_than_the_least_mismatch(free):
  """The bound of the row space, tried with many tasks that share no image with the first."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params, task, support = wide_problem(rng)
  received = meta_gradient(loss_fn, params, task, INNER)['Dense_0']
  bound = least_mismatch(received, support.images, free=free)
  assert bound > 1e-3
  for query in (batch(rng, free, 10) if free else support for _ in range(50)):
    sent = meta_gradient(loss_fn, params, Task(support, query), INNER)['Dense_0']
    assert mismatch(sent, received) > bound


def test_the_best_fit_stays_above_the_least_mismatch():
  """Else the row space would forbid nothing. Integer labels must come back as they were."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params, task, support = wide_problem(rng)
  start = Batch(batch(rng, 2, 10).images, jnp.array([[0], [1]]))
  received = meta_gradient(loss_fn, params, task, INNER)
  found = fit(loss_fn, params, received, support, start, INNER).query
  sent = meta_gradient(loss_fn, params, Task(support, found), INNER)
  bound = least_mismatch(received['Dense_0'], support.images, free=2)
  assert mismatch(sent['Dense_0'], received['Dense_0']) > bound
  np.testing.assert_array_equal(found.labels, start.labels)


def test_the_tasks_own_images_leave_nothing():
  """The bound must be 0 for the support set itself with as many free images as were used."""
  rng, loss_fn = np.random.default_rng(0), regression('tanh')
  params, task, _ = wide_problem(rng)
  layer = meta_gradient(loss_fn, params, task, INNER)['Dense_0']
  assert least_mismatch(layer, task.support.images, free=2) < 1e-12
  assert least_mismatch(layer, task.support.images, free=1) > 1e-3


def layers(params):
  """The hidden and the output layer."""
  return params['Dense_0'], params['Dense_1']


@pytest.mark.parametrize('seed', range(3))
def test_relu_units_are_balanced_in_every_gradient_but_not_in_the_wanted_one(seed):
  """So the proof fails for ReLU networks: g' is out of reach of query sets of any size."""
  rng, loss_fn = np.random.default_rng(seed), regression('relu')
  params = parameters(rng, SIZES)
  task, other = two_tasks(rng)
  gradient = jax.jit(jax.grad(loss_fn))
  any_gradient = gradient(params, task.query)
  assert relu_imbalance(layers(params), layers(any_gradient)) < 1e-12
  smooth = meta_gradient(regression('tanh'), params, task, INNER)
  assert relu_imbalance(layers(params), layers(smooth)) > 1e-3  # the negative control
  received = meta_gradient(loss_fn, params, task, INNER)
  theta, wanted = want(loss_fn, params, received, other.support, INNER)
  bound = relu_imbalance(layers(theta), layers(wanted))
  assert bound > 1e-4
  found = fit(loss_fn, params, received, other.support, other.query, INNER)
  assert mismatch(gradient(theta, found.query), wanted) >= bound
