"""The contract of a learner: the short form, what recompiles, what is refused, what is sent."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import (
  Batch,
  Custom,
  Defence,
  Gaussian,
  ImplicitMAML,
  InnerLoop,
  InputError,
  Learner,
  Task,
  adapt,
  as_gradient,
  meta_gradient,
  send_gradient,
)

KEY = jax.random.key(0)
LABELS = jnp.arange(3)
PARAMS = {
  'body': jax.random.normal(jax.random.key(1), (4, 5)),
  'head': [jax.random.normal(jax.random.key(2), (5, 3)), jnp.zeros(3)],
}
IMAGES = jax.random.uniform(jax.random.key(3), (2, 3, 2, 2, 1)).at[:, :, 0, 0].set(0)  # black
TASK = Task(*(Batch(images, LABELS) for images in IMAGES))
RATES = jax.tree.map(lambda p: jnp.full(p.shape, 0.5), PARAMS)
ADAM = optax.adam(0.1)


def loss_fn(params, batch: Batch, /):
  """A hidden layer of tanh units."""
  hidden = jnp.tanh(batch.images.reshape(len(batch.labels), -1) @ params['body'])
  logits = hidden @ params['head'][0] + params['head'][1]
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


compiled = jax.jit(meta_gradient, static_argnums=0)


def assert_equal(found, expected):
  """Every leaf, bit for bit."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def assert_close(found, expected):
  """Every leaf, to rounding."""
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-7), found, expected
  )


@pytest.mark.parametrize('remat', [False, True])
@pytest.mark.parametrize(('order', 'sends'), [(2, 'maml'), (1, 'fomaml')])
def test_an_inner_loop_is_the_short_form_of_a_learner(order, sends, remat):
  """Else one protocol has two gradients."""
  short = InnerLoop(3, 0.1, order=order, remat=remat)
  learner = Learner(3, 0.1, sends=sends, remat=remat)
  for path in (meta_gradient, compiled):
    assert_equal(path(loss_fn, PARAMS, TASK, learner), path(loss_fn, PARAMS, TASK, short))


def test_only_a_change_of_structure_recompiles():
  """Else a sweep over rates compiles at each of them."""
  traces = []

  def counted(params, batch: Batch, /):
    traces.append(batch)
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) * batch.images.sum()

  def traced(learner: Learner) -> bool:
    before = len(traces)
    compiled(counted, PARAMS, TASK, learner)
    return len(traces) > before

  assert traced(Learner(2, 0.1))
  assert not traced(Learner(2, 0.2, sends='maml'))
  assert traced(Learner(2, 1.0, RATES))
  assert not traced(Learner(2, 0.3, jax.tree.map(jnp.zeros_like, RATES)))
  assert traced(Learner(2, 0.1, sends=ImplicitMAML(1.0, 3)))
  assert not traced(Learner(2, 0.2, sends=ImplicitMAML(2.0, 3)))
  assert traced(Learner(2, ADAM))
  assert not traced(Learner(2, ADAM))


@pytest.mark.parametrize('sends', ['maml', 'fomaml'])
def test_adam_is_differentiated_where_a_gradient_is_exactly_zero(sends):
  """A black pixel made NaN of the whole meta-gradient, by the square root of 0.

  Nothing depends on a black pixel's weights, so the other parameters are as without it.
  """

  def linear(params, batch: Batch, /):
    logits = batch.images.reshape(len(batch.labels), -1) @ params
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()

  @jax.jit
  def sent(params, support, query):
    task = Task(Batch(support, LABELS), Batch(query, LABELS))
    return meta_gradient(linear, params, task, Learner(2, ADAM, sends=sends))

  params = PARAMS['body'][:, :3]
  found = sent(params, *IMAGES)
  assert_close(found[1:], sent(params[1:], *IMAGES.reshape(2, 3, 4)[:, :, 1:]))
  assert not found[0].any()
  slope = jax.grad(lambda images: jnp.sum(sent(params, images, IMAGES[1]) ** 2))(IMAGES[0])
  assert np.isfinite(slope).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'steps': -1}, 'inner steps must be 0 or more, not -1'),
    (
      {'optimizer': 'adam'},
      "a rate, such as 0.1, or an optax.GradientTransformation.*not 'adam'",
    ),
    ({'optimizer': optax.adam}, r'optimizer must be a rate.*not the function adam$'),
    ({'optimizer': None}, r'optimizer must be a rate.*not None$'),
    ({'optimizer': True}, r'optimizer must be a rate.*not True$'),
    ({'optimizer': [0.1]}, r'optimizer must be a rate.*not \[0.1\]$'),
    ({'steps': 1.0}, 'inner steps must be a whole number, not 1.0'),
    ({'sends': 3}, 'sends must be a name .maml, fomaml, .*, not 3'),
    ({'sends': ImplicitMAML}, r'an object such as .*, not the class ImplicitMAML$'),
    (
      {'defence': Gaussian(0.1)},
      r'is a mamljax.Defence or a DPGaussian, not Gaussian',
    ),
    ({'sends': 'repile'}, "unknown message 'repile': did you mean 'reptile'"),
    ({'trainable': 'head'}, "trainable must be a function of a path, not 'head'"),
    ({'remat': 1}, 'remat must be True or False, not 1'),
  ],
)
def test_impossible_learners_are_refused(options, message):
  """Else a mistake shows deep inside a compilation, if at all."""
  with pytest.raises(InputError, match=message):
    Learner(**{'steps': 1, 'optimizer': 0.1} | options)


@pytest.mark.parametrize(
  ('learner', 'message'),
  [
    (Learner(1, jnp.ones(2)), 'optimizer must be one number'),
    (Learner(1, 0.1, {'body': 1.0}), 'rates must be a pytree like the parameters'),
    (Learner(1, 0.1, RATES | {'body': jnp.ones((9, 1))}), 'broadcast to parameters \\[4, 5\\]'),
    (
      Learner(1, 0.1, trainable=lambda path: 'Dense' in path),
      'none of .*: body, head/0, head/1',
    ),
    (
      Learner(1, 0.1, sends=Custom(lambda *_: 1.0, is_gradient=True)),
      'a gradient like the param',
    ),
  ],
)
def test_learners_that_do_not_suit_the_parameters_are_refused(learner, message):
  """A wrong shape would be broadcast, and a mask of a misspelt name adapt nothing."""
  with pytest.raises(InputError, match=message):
    meta_gradient(loss_fn, PARAMS, TASK, learner)


def test_others_than_the_chosen_parameters_stay():
  """ANIL and BOIL; noise on the adaptation goes where it acts."""

  def perturb(step, gradient):
    return jax.tree.map(jnp.ones_like, gradient)

  learner = Learner(2, 0.25, trainable=lambda path: path.startswith('head/'))
  theta = adapt(loss_fn, PARAMS, TASK.support, learner, perturb=perturb)
  head = jax.tree.map(lambda p: p - 0.5, PARAMS['head'])
  assert_close(theta, {'body': PARAMS['body'], 'head': head})


@pytest.mark.parametrize('name', ['reptile', 'delta'])
@pytest.mark.parametrize('rates', [None, RATES | {'body': jnp.zeros((4, 5))}])
def test_a_message_of_steps_is_read_as_the_gradient_of_the_support_set(name, rates):
  """Its sign or scale lost, an attack that reads gradients would call members non-members."""
  plain = jax.grad(loss_fn)(PARAMS, TASK.support)
  learner = Learner(1, 0.1, rates, sends=name)
  found = as_gradient(learner, meta_gradient(loss_fn, PARAMS, TASK, learner))
  expected = plain if rates is None else plain | {'body': jnp.zeros((4, 5))}
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)
  scale = [Learner(4, rate, sends=name) for rate in (1e-3, optax.sgd(1e-3))]
  many = [as_gradient(each, meta_gradient(loss_fn, PARAMS, TASK, each)) for each in scale]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-2), many[0], plain)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(4e-3 * a, b, atol=1e-6), *many)


def test_a_learner_has_its_defence_with_it():
  """One given in two places would be applied once, and nobody knows which."""
  defence = Defence(outgoing=Gaussian(0.1), inner=Gaussian(0.2))
  learner = Learner(2, 0.1, defence=defence)
  found = send_gradient(KEY, loss_fn, PARAMS, TASK, learner)
  expected = send_gradient(KEY, loss_fn, PARAMS, TASK, learner.undefended, defence=defence)
  assert_equal(found, expected)
  assert_equal(send_gradient(KEY, loss_fn, PARAMS, TASK, learner, defence=Defence()), expected)
  exact = send_gradient(KEY, loss_fn, PARAMS, TASK, learner.undefended)
  assert_equal(exact, meta_gradient(loss_fn, PARAMS, TASK, learner))
  with pytest.raises(InputError, match='a defence of its own'):
    send_gradient(KEY, loss_fn, PARAMS, TASK, learner, defence=defence)


def test_a_learner_is_a_pytree_of_its_numbers():
  """Names and functions among the leaves would stop every transformation of JAX."""
  learner = Learner(
    2, 0.1, RATES, lambda path: True, ImplicitMAML(2.0, 3), Defence(outgoing=Gaussian(0.5))
  )
  leaves, structure = jax.tree.flatten(learner)
  assert len(leaves) == 1 + 3 + 1 + 4
  assert jax.tree.unflatten(structure, leaves) == learner
  doubled = jax.tree.map(lambda x: 2 * x, dataclasses.replace(learner, optimizer=ADAM))
  assert (doubled.optimizer, doubled.steps, doubled.sends.strength) == (ADAM, 2, 4.0)
