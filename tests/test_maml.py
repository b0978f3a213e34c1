"""The contract of the inner loop: what adaptation does, and what an option changes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import (
  Batch,
  InnerLoop,
  InputError,
  Task,
  adapt,
  meta_gradient,
  per_task_gradients,
  task_loss,
)
from tests.memory import temporary_bytes

PARAMS = {'w': jnp.array([1.0, -2.0]), 'nested': [jnp.array(0.5)]}
LABELS = jnp.arange(2)
SUPPORT = Batch(jnp.linspace(0, 1, 8).reshape(2, 1, 4, 1), LABELS)
QUERY = Batch(jnp.linspace(1, 0, 8).reshape(2, 1, 4, 1) ** 2, LABELS)
TASK = Task(SUPPORT, QUERY)


def bent_loss(params, batch: Batch):
  """Neither linear nor quadratic, so that no order of differentiation is exact by chance."""
  logits = batch.images.mean(axis=(1, 2)) * params['w'] + params['nested'][0]
  return jnp.sin(logits).sum() + (logits**4).mean() + (batch.labels @ logits**2).sum()


def linear_loss(params, batch: Batch):
  """A slope of one in every parameter, whatever the batch."""
  return sum(leaf.sum() for leaf in jax.tree.leaves(params)) + 0 * batch.images.sum()


def assert_equal(found, expected):
  """Every leaf, bit for bit."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize('order', [1, 2])
def test_no_steps_send_the_plain_gradient(order):
  """Else the reference point of every comparison with MAML is off."""
  inner = InnerLoop(0, 0.1, order=order)
  assert_equal(adapt(bent_loss, PARAMS, SUPPORT, inner), PARAMS)
  plain = jax.grad(bent_loss)(PARAMS, QUERY)
  assert_equal(meta_gradient(bent_loss, PARAMS, TASK, inner), plain)


def test_adaptation_is_gradient_descent():
  """theta_{k+1} = theta_k - alpha grad L(theta_k; D_s): a sign or a mean would show here."""
  theta = PARAMS
  for _ in range(3):
    slope = jax.grad(bent_loss)(theta, SUPPORT)
    theta = jax.tree.map(lambda t, s: t - 0.05 * s, theta, slope)
  found = adapt(bent_loss, PARAMS, SUPPORT, InnerLoop(3, 0.05))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, theta)
  np.testing.assert_allclose(
    task_loss(bent_loss, PARAMS, TASK, InnerLoop(3, 0.05)), bent_loss(theta, QUERY), rtol=1e-5
  )


@pytest.mark.parametrize('remat', [False, True])
def test_first_order_sends_the_query_gradient_at_theta(remat):
  """Equation 7, exactly: nothing of the way from w to theta is differentiated."""
  inner = InnerLoop(3, 0.05, order=1, remat=remat)
  theta = adapt(bent_loss, PARAMS, SUPPORT, inner)
  at_theta = jax.grad(bent_loss)(theta, QUERY)
  assert_equal(meta_gradient(bent_loss, PARAMS, TASK, inner), at_theta)


@pytest.mark.parametrize('order', [1, 2])
def test_theta_depends_on_the_support_images_whatever_the_order(order):
  """The support attack differentiates theta in the images: 1 - (1 - alpha)^K on a parabola."""

  def theta(pixel):
    batch = Batch(jnp.full((1, 1, 1, 1), pixel), LABELS[:1])
    return adapt(
      lambda w, batch: (w - batch.images.mean()) ** 2 / 2, 0.3, batch, InnerLoop(3, 0.1, order)
    )

  np.testing.assert_allclose(jax.grad(theta)(0.7), 1 - 0.9**3, rtol=1e-6)


def test_perturbation_of_each_step_is_used():
  """Else noise on the adaptation gradient would protect nothing, or be drawn once."""
  inner = InnerLoop(4, 0.125)

  def perturb(step, gradient):
    return jax.tree.map(lambda g: g + step + 1, gradient)

  clean = adapt(linear_loss, PARAMS, SUPPORT, inner)
  found = adapt(linear_loss, PARAMS, SUPPORT, inner, perturb=perturb)
  assert_equal(found, jax.tree.map(lambda t: t - 0.125 * (1 + 2 + 3 + 4), clean))


@pytest.mark.parametrize('order', [1, 2])
def test_a_constant_perturbation_shifts_theta_and_no_hessian(order):
  """Noise is a constant of the loss: it moves theta, but must not be differentiated."""
  inner = InnerLoop(1, 0.125, order=order)

  def perturb(step, gradient):
    return jax.tree.map(jnp.ones_like, gradient)

  theta = jax.tree.map(lambda p: p - 0.125, PARAMS)
  for path in (task_loss, meta_gradient):
    found = path(bent_loss, PARAMS, TASK, inner, perturb=perturb)
    direct = {task_loss: bent_loss, meta_gradient: jax.grad(bent_loss)}[path]
    assert_equal(found, direct(theta, QUERY))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'steps': -1}, 'inner steps must be 0 or more, not -1'),
    ({'steps': 1, 'order': 0}, 'order must be 1 .* or 2, not 0'),
    ({'steps': 1, 'order': 3}, 'order must be 1 .* or 2, not 3'),
    ({'steps': 1, 'order': '2'}, "order must be a whole number, not '2'"),
    ({'steps': 1.0}, 'inner steps must be a whole number, not 1.0'),
    ({'learning_rate': '0.1'}, "learning_rate must be a number, not '0.1'"),
    (
      {'learning_rate': optax.adam(0.1)},
      r'not an optimiser of optax: .* use mamljax.Learner\(steps, optimizer\)$',
    ),
    ({'learning_rate': optax.adam}, r'not the function adam: .* mamljax.Learner'),
    ({'remat': 1}, 'remat must be True or False, not 1'),
  ],
)
def test_impossible_inner_loops_are_refused(options, message):
  """Else a scan of negative length, or an error of JAX from deep within when it is used."""
  with pytest.raises(InputError, match=message):
    InnerLoop(**{'steps': 1, 'learning_rate': 0.1} | options)


def test_an_inner_loop_without_a_rate_is_refused_when_it_is_used():
  """JAX may put None in its place for a moment; an adaptation needs a number."""
  nothing: Any = None
  with pytest.raises(InputError, match='learning_rate must be one number, not None'):
    adapt(bent_loss, PARAMS, SUPPORT, InnerLoop(1, nothing))


def test_an_inner_loop_is_a_key():
  """Frozen, so that an equal one finds what was compiled, and none changes behind its back."""
  assert {InnerLoop(2, 0.1): 'compiled'}[InnerLoop(2, 0.1)] == 'compiled'


def test_only_a_change_of_structure_recompiles():
  """Else a sweep over learning rates compiles once a cell."""
  traces = []

  def counted_loss(params, batch: Batch):
    traces.append(batch)
    return bent_loss(params, batch)

  compiled = jax.jit(meta_gradient, static_argnums=0)

  def traced(inner: InnerLoop) -> bool:
    before = len(traces)
    compiled(counted_loss, PARAMS, TASK, inner)
    return len(traces) > before

  assert traced(InnerLoop(2, 0.1))
  assert not traced(InnerLoop(2, 0.2))
  assert traced(InnerLoop(3, 0.2))
  assert traced(InnerLoop(3, 0.2, order=1))
  assert traced(InnerLoop(3, 0.2, remat=True))
  assert not traced(InnerLoop(2, 0.3))


def test_learning_rates_can_be_mapped_over():
  """A leaf of the pytree, so that one program serves a whole axis of a sweep."""
  rates = jnp.array([0.0, 0.05, 0.1])
  steps = jax.vmap(lambda rate: adapt(linear_loss, PARAMS, SUPPORT, InnerLoop(2, rate)))(rates)
  np.testing.assert_allclose(steps['nested'][0], 0.5 - 2 * rates, rtol=1e-6)


def test_tasks_of_a_round_keep_their_own_gradients():
  """Else one task-learner's data would show in what another sends."""
  alone = [TASK, Task(QUERY, SUPPORT)]
  tasks = jax.tree.map(lambda *x: jnp.stack(x), *alone)
  inner = InnerLoop(2, 0.05)
  both = jax.jit(per_task_gradients, static_argnums=0)(bent_loss, PARAMS, tasks, inner)
  for i, task in enumerate(alone):
    gradient = jax.jit(meta_gradient, static_argnums=0)(bent_loss, PARAMS, task, inner)
    jax.tree.map(
      lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5), both, gradient
    )


@pytest.mark.parametrize('steps', [0, 1, 3, 7, 16])
@pytest.mark.parametrize('order', [1, 2])
def test_recomputed_steps_are_the_same_steps(steps, order):
  """A segment too few, or a step taken twice at its seam, would send another gradient."""

  def perturb(step, gradient):
    return jax.tree.map(lambda g: g * (1 + step / 10), gradient)

  def sent(params, task, remat):
    inner = InnerLoop(steps, 0.05, order=order, remat=remat)
    return meta_gradient(bent_loss, params, task, inner, perturb=perturb)

  stored, again = (jax.jit(sent, static_argnums=2)(PARAMS, TASK, r) for r in (False, True))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), again, stored)


def test_memory_of_recomputed_steps_grows_with_their_root():
  """It grew with the steps, as without `remat` and more steeply, where it was said not to."""
  params, image = jnp.zeros((64, 64)), Batch(jnp.ones((1, 64)), LABELS[:1])

  def loss(params, batch: Batch):
    return jnp.tanh(jnp.tanh(batch.images @ params) @ params.T).sum()

  few, many = (temporary_bytes(loss, params, image, steps=n, remat=True) for n in (16, 256))
  stored = temporary_bytes(loss, params, image, steps=256, remat=False)
  assert 2.5 < many / few < 5  # 4: the root of 16
  assert many < stored / 5


@pytest.mark.parametrize('rate', [np.float32(0.1), np.float64(0.1), jnp.float32(0.1), 1])
@pytest.mark.parametrize('remat', [False, True])
def test_an_array_for_a_rate_leaves_every_leaf_its_type(rate, remat):
  """bfloat16 parameters became float32 by a float32 rate, on which the scan failed."""
  params = {'w': jnp.bfloat16([1, -2]), 'nested': [jnp.float16(0.5)]}
  found = adapt(bent_loss, params, SUPPORT, InnerLoop(2, rate, remat=remat))
  assert jax.tree.map(jnp.result_type, found) == jax.tree.map(jnp.result_type, params)


def test_types_of_leaves_stay_in_double_precision_and_under_vmap():
  """A float64 rate, and one that is mapped over, made float32 parameters float64."""
  with jax.enable_x64(True):
    params = {'w': jnp.float32([1, -2]), 'nested': [jnp.float64(0.5)]}
    rates = jnp.float64([0.1, 0.2])
    theta = jax.vmap(lambda rate: adapt(bent_loss, params, SUPPORT, InnerLoop(2, rate)))(rates)
  assert jax.tree.map(jnp.result_type, theta) == jax.tree.map(jnp.result_type, params)


def test_a_perturbation_of_another_type_leaves_parameters_theirs():
  """float32 noise on a bfloat16 gradient failed in the scan."""

  def perturb(step, gradient):
    return jax.tree.map(lambda g: g + jnp.float32(0.1), gradient)

  theta = adapt(lambda w, _: w**2, jnp.bfloat16(1), SUPPORT, InnerLoop(2, 0.1), perturb=perturb)
  assert theta.dtype == jnp.bfloat16


def test_several_rates_at_once_are_refused():
  """An array of rates was broadcast into the parameters, or failed in the scan."""
  with pytest.raises(ValueError, match=r'learning_rate must be one number, not \[2\]'):
    adapt(bent_loss, PARAMS, SUPPORT, InnerLoop(1, jnp.array([0.1, 0.2])))
