"""Messages of a task-learner, defended or not, against the protocol written out by hand."""

import itertools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from mamljax.defences import (
  MECHANISM,
  NOISES,
  Defence,
  DPGaussian,
  Gaussian,
  Quantised,
  make_defence,
)
from mamljax.learner import adapt_defended, send, send_gradient
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.types import Batch, Params, Task

KEY = jax.random.key(7)
LABELS = jnp.array([0, 1, 2])
INNER = InnerLoop(steps=2, learning_rate=0.5)


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """A small smooth network: a hidden layer of tanh units."""
  hidden = jnp.tanh(batch.images.reshape(len(batch.labels), -1) @ params['first'])
  logits = hidden @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def make_params() -> Params:
  first, second = jax.random.split(jax.random.key(0))
  return {
    'first': jax.random.normal(first, (6, 4)),
    'second': jax.random.normal(second, (4, 3)),
  }


def make_task() -> Task:
  support, query = jax.random.uniform(jax.random.key(1), (2, 3, 2, 3, 1))
  return Task(Batch(support, LABELS), Batch(query, LABELS))


class Shift(NamedTuple):
  """A hook whose effect can be written down: it adds the same to every number."""

  amount: jax.Array

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    del key
    return jax.tree.map(lambda leaf: leaf + self.amount, value)


def sent(defence: Defence, *, key: jax.Array = KEY, inner: InnerLoop = INNER) -> Params:
  return send_gradient(key, loss_fn, make_params(), make_task(), inner, defence=defence)


@jax.jit
def sent_shifted(amounts: jax.Array) -> jax.Array:
  """The message with `Shift` at all four points, flat."""
  return ravel_pytree(sent(Defence(*map(Shift, amounts))))[0]


@jax.jit
def sent_noisy(key: jax.Array, scales: jax.Array) -> jax.Array:
  """The message with Gaussian noise at all four points, flat."""
  return ravel_pytree(sent(Defence(*map(Gaussian, scales)), key=key))[0]


@jax.jit
def shifted_by_hand(amounts: jax.Array) -> jax.Array:
  """The same, from section IV-E: unrolled, each amount where the paper puts the noise."""
  on_support, on_inner, on_query, on_outgoing = amounts
  task = make_task()
  support = task.support._replace(images=task.support.images + on_support)
  query = task.query._replace(images=task.query.images + on_query)

  def query_loss(theta: Params) -> jax.Array:
    for _ in range(INNER.steps):
      slope = jax.grad(loss_fn)(theta, support)
      theta = jax.tree.map(lambda t, g: t - INNER.learning_rate * (g + on_inner), theta, slope)
    return loss_fn(theta, query)

  return ravel_pytree(jax.grad(query_loss)(make_params()))[0] + on_outgoing


@pytest.mark.parametrize('inner', [INNER, InnerLoop(2, 0.5, order=1)])
def test_without_a_defence_the_exact_meta_gradient_is_sent(inner):
  """A learner that sends anything else makes the whole audit one of another protocol."""
  exact = meta_gradient(loss_fn, make_params(), make_task(), inner)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, sent(Defence(), inner=inner), exact))


@pytest.mark.parametrize('on', list(itertools.product([False, True], repeat=4)))
def test_each_hook_acts_at_its_own_point_and_all_compose(on):
  """Noise at another point than its name says would be credited to the wrong defence."""
  amounts = jnp.array([0.3, -0.2, 0.4, 0.05]) * jnp.array(on)
  found, expected = sent_shifted(amounts), shifted_by_hand(amounts)
  np.testing.assert_allclose(found, expected, atol=2e-6)
  assert np.allclose(found, sent_shifted(jnp.zeros(4)), atol=1e-4) == (not any(on))


@pytest.mark.parametrize('point', ['support', 'query'])
def test_noise_on_images_is_the_meta_gradient_of_the_noisy_images(point):
  """The noisy set, and it alone, must be what the gradient is taken on, labels untouched."""
  seen = []

  def spy(key: jax.Array, value: Params, /) -> Params:
    seen.append(Gaussian(0.3)(key, value))
    return seen[-1]

  task = make_task()
  gradient = sent(Defence(**{point: spy}))
  (noisy,) = seen
  batch: Batch = getattr(task, point)
  assert noisy.shape == batch.images.shape
  on_noisy = task._replace(**{point: batch._replace(images=noisy)})
  expected = meta_gradient(loss_fn, make_params(), on_noisy, INNER)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, gradient, expected))


def test_outgoing_noise_is_added_to_the_meta_gradient_leaf_by_leaf():
  """Otherwise the ceiling of any attack, which assumes g + noise, would be wrong."""
  seen = []

  def spy(key: jax.Array, value: Params, /) -> Params:
    seen.append((value, Gaussian(0.2)(key, value)))
    return seen[-1][1]

  received = sent(Defence(outgoing=spy))
  ((exact, noisy),) = seen
  assert received is noisy
  np.testing.assert_allclose(
    ravel_pytree(exact)[0], sent_shifted(jnp.zeros(4)), atol=2e-6, rtol=1e-5
  )
  added = jax.tree.map(jnp.subtract, received, exact)
  assert jax.tree.map(jnp.shape, added) == jax.tree.map(jnp.shape, make_params())
  assert all(np.std(leaf) > 0.1 for leaf in jax.tree.leaves(added))


@pytest.mark.parametrize('hook', [Gaussian(0.1), DPGaussian(0.1, 2.0), Quantised(4.0)])
def test_what_is_drawn_on_the_message_is_what_published_results_were_made_with(hook):
  """A chain around a single hook drew other noise, and no defended number could be remade."""
  outgoing = jax.random.split(KEY, 4)[3]
  expected = hook(outgoing, meta_gradient(loss_fn, make_params(), make_task(), INNER))
  found = sent(Defence(outgoing=hook))
  jax.tree.map(
    lambda *two: np.testing.assert_allclose(*two, rtol=1e-4, atol=1e-6), found, expected
  )


def test_inner_noise_acts_only_through_the_steps():
  """Without a step there is nothing for it to act on: it must not leak into what is sent."""
  still = InnerLoop(steps=0, learning_rate=0.5)
  noisy, exact = sent(Defence(inner=Gaussian(5.0)), inner=still), sent(Defence(), inner=still)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, noisy, exact))


@pytest.mark.parametrize('steps', [1, 4])
def test_every_inner_step_has_noise_of_its_own(steps):
  """The same noise at each step would add up as K sigma, not as sqrt(K) sigma."""
  size, alpha, sigma = 40_000, 0.5, 0.1

  def quadratic(params: Params, batch: Batch, /) -> jax.Array:
    # On the support set (label 0) a constant slope of 0, on the query set |theta|^2 / 2,
    # whose meta-gradient is theta itself: minus alpha times the sum of the noises.
    return batch.labels[0] * jnp.sum(params**2) / 2

  images = jnp.zeros((1, 1, 1, 1))
  task = Task(Batch(images, jnp.array([0])), Batch(images, jnp.array([1])))
  inner, defence = InnerLoop(steps, alpha), Defence(inner=Gaussian(sigma))
  theta = send_gradient(KEY, quadratic, jnp.zeros(size), task, inner, defence=defence)
  assert np.std(theta) == pytest.approx(alpha * sigma * np.sqrt(steps), rel=0.02)


def test_the_four_points_draw_from_keys_of_their_own():
  """Shared keys would correlate the noises, and an adversary could cancel one with another."""
  seen = []

  def spy(key: jax.Array, value: Params, /) -> Params:
    jax.debug.callback(lambda data: seen.append(tuple(data.tolist())), jax.random.key_data(key))
    return value

  inner = InnerLoop(steps=3, learning_rate=0.5)
  jax.block_until_ready(sent(Defence(spy, spy, spy, spy), inner=inner))
  jax.effects_barrier()
  assert len(set(seen)) == 3 + inner.steps


@pytest.mark.parametrize('point', range(4), ids=Defence._fields)
def test_noise_is_fixed_by_the_key(point):
  """A trial must be repeatable, and two trials must not share their noise."""
  scales = jnp.zeros(4).at[point].set(0.3)
  once, again, other = (sent_noisy(jax.random.key(seed), scales) for seed in (1, 1, 2))
  assert jnp.array_equal(once, again)
  assert not jnp.allclose(once, other, atol=1e-4)


@pytest.mark.parametrize(
  'name', ['none', *NOISES, MECHANISM, 'query_noise+0.1*outgoing_gradient_noise+0.5*top_k']
)
def test_a_sweep_of_scales_compiles_once(name):
  """Else a noise figure with many scales would spend its time in the compiler."""
  traces = []

  def cheap(params: Params, batch: Batch, /) -> jax.Array:
    return jnp.sum(params**2) * batch.images.sum()

  @jax.jit
  def defended(scale: jax.Array) -> Params:
    traces.append(scale)
    mechanism = {'clip': scale + 0.1, 'noise_multiplier': scale}
    defence = make_defence(name, scale=scale, clip_images=True, **mechanism)
    return send_gradient(KEY, cheap, jnp.ones(2), make_task(), INNER, defence=defence)

  none, little, much = (defended(scale) for scale in (0.0, 0.1, 1.0))
  assert len(traces) == 1
  assert jnp.array_equal(little, much) == jnp.array_equal(none, much) == (name == 'none')


def test_an_adaptation_that_diverged_behind_a_finite_gradient_was_not_seen():
  """First-order MAML, and a ReLU that too large a step kills: it sends 0, as if private."""

  def dying(params, batch):
    return 10 * jax.nn.relu(params[0]) * batch.images.mean()

  batch = Batch(jnp.ones((1, 1, 1, 1)), jnp.zeros(1, jnp.int32))
  for rate, adapted in ((0.01, True), (3e38, False)):
    inner, task = InnerLoop(1, rate, order=1), Task(batch, batch)
    sent = send(KEY, dying, jnp.ones(1), task, inner, defence=Defence())
    assert (bool(sent.is_adapted), bool(sent.is_finite)) == (adapted, True)
  noise = Defence(outgoing=Gaussian(1e38))
  sent = send(KEY, dying, jnp.ones(1000), task, InnerLoop(0, 0.0), defence=noise)
  assert (bool(sent.is_adapted), bool(sent.is_finite)) == (True, False)


def test_the_adapted_parameters_are_those_behind_a_message():
  """Attacks that look at units after adaptations would look at others than are sent from."""
  noisy = Defence(support=Gaussian(0.3), inner=Gaussian(0.2))
  inner, task, params = InnerLoop(2, 0.5, order=1), make_task(), make_params()
  theta = adapt_defended(KEY, loss_fn, params, task.support, inner, defence=noisy)
  sent = send_gradient(KEY, loss_fn, params, task, inner, defence=noisy)
  chex.assert_trees_all_close(sent, jax.grad(loss_fn)(theta, task.query), rtol=1e-5)
