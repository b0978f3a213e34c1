"""First-order MAML as victim and as assumption of the adversary, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax.attacks import Knowledge, Observation
from mamljax.attacks.gradients.objectives import objective, simulate
from mamljax.defences import Defence
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop
from mamljax.types import Batch, Params, Task

RANDOM = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 2])
SUPPORT, QUERY = RANDOM.uniform(size=(2, len(LABELS), 3, 4, 1))
PARAMS = {'first': RANDOM.normal(size=(12, 5)), 'second': RANDOM.normal(size=(5, 3))}
RATE = 0.5


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """A hidden layer of tanh units: its Hessian varies from step to step."""
  hidden = jnp.tanh(batch.images.reshape(len(batch.labels), -1) @ params['first'])
  logits = hidden @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def batch(images) -> Batch:
  return Batch(jnp.asarray(images), jnp.asarray(LABELS))


@jax.jit
def sent(inner: InnerLoop) -> Params:
  """The gradient of a learner that adapts in this way."""
  task, key = Task(batch(SUPPORT), batch(QUERY)), jax.random.key(0)
  return send_gradient(key, loss_fn, PARAMS, task, inner, defence=Defence())


@jax.jit
def mismatch(images, received: Params, assumed: InnerLoop) -> jax.Array:
  """Equation 10 without total variation, for a guess of the support images."""
  knowledge, guess = Knowledge(loss_fn, PARAMS, assumed), batch(images)
  seen = Observation(received, guess.labels, guess.labels, batch(QUERY))
  return objective(knowledge, seen, guess, target='support', tv_weight=0.0)


slope = jax.jit(jax.grad(mismatch))


def loop(steps: int, order: int) -> InnerLoop:
  return InnerLoop(steps, RATE, order=order, remat=steps > 1)


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('order', [1, 2])
def test_the_true_support_set_solves_the_attack_that_assumes_rightly(order, steps):
  """Else the adversary simulates another protocol than the learner runs."""
  received, assumed = sent(loop(steps, order)), loop(steps, order)
  assert abs(float(mismatch(SUPPORT, received, assumed))) < 1e-12
  assert np.abs(slope(jnp.asarray(SUPPORT), received, assumed)).max() < 1e-7
  assert mismatch(SUPPORT[::-1], received, assumed) > 1e-3


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('order', [1, 2])
def test_under_the_wrong_assumption_it_does_not(order, steps):
  """Negative control: a victim's order that made no difference would not be an order."""
  received, assumed = sent(loop(steps, order)), loop(steps, 3 - order)
  assert mismatch(SUPPORT, received, assumed) > 1e-3
  assert np.abs(slope(jnp.asarray(SUPPORT), received, assumed)).max() > 1e-3


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('order', [1, 2])
def test_its_slope_in_the_images_is_that_of_differences(order, steps):
  """First order leaves out how theta moves with w, not how it moves with the images."""
  received, assumed = sent(loop(steps, 3 - order)), loop(steps, order)
  direction, size = RANDOM.normal(size=SUPPORT.shape), 1e-5
  ahead, behind = (
    mismatch(SUPPORT + sign * size * direction, received, assumed) for sign in (1, -1)
  )
  found = np.vdot(slope(jnp.asarray(SUPPORT), received, assumed), direction)
  assert found == pytest.approx(float(ahead - behind) / (2 * size), rel=1e-6)


def test_the_query_attack_does_not_depend_on_the_assumption():
  """Equation 9 puts w in place of theta: there is nothing to assume."""
  seen = Observation(PARAMS, jnp.asarray(LABELS), jnp.asarray(LABELS))
  simulated = [
    simulate(Knowledge(loss_fn, PARAMS, loop(1, order)), seen, batch(QUERY), target='query')
    for order in (1, 2)
  ]
  expected = jax.grad(loss_fn)(PARAMS, batch(QUERY))
  for gradient in simulated:
    assert jax.tree.all(jax.tree.map(jnp.array_equal, gradient, expected))
