"""Clipped and noised steps: private by post-processing, to first order and no further."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.audit.certainty import empirical_epsilon
from mamljax.defences import (
  Chain,
  Defence,
  DPExamples,
  DPGaussian,
  Gaussian,
  TopK,
  make_defence,
  parse_defence,
  parts_of,
)
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.maml import adapt, meta_gradient
from mamljax.numerics import norm
from mamljax.protocol import Custom, ImplicitMAML
from mamljax.protocol.guarantees import guarantees
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params, Task
from tests.defences.test_dp_examples import squares
from tests.defences.test_dp_gaussian import KEY, LABELS

CLIP, DELTA, RATE, COUNT = 0.05, 1e-5, 0.3, len(LABELS)
IMAGES, OTHERS = jax.random.normal(KEY, (2, COUNT, 6))
PARAMS = jax.random.normal(jax.random.key(1), (6,))
WHOLE = Defence(inner=DPGaussian(CLIP, 4.0))
TERMS = Defence(inner=DPExamples(CLIP, 4.0))


def task_of(support: jax.Array) -> Task:
  """A task with these support images, and always the same query set."""
  return Task(Batch(support, LABELS), Batch(OTHERS[:2], LABELS[:2]))


@functools.partial(jax.jit, static_argnames=('sends', 'steps'))
def sent(hook: Any, support: jax.Array, *, sends: str, steps: int = 1) -> jax.Array:
  """The message of a learner whose adaptation is defended."""
  learner = Learner(steps, RATE, sends=sends, defence=Defence(inner=hook))
  return send_gradient(KEY, squares, PARAMS, task_of(support), learner)


@pytest.mark.parametrize('hook', [DPGaussian(CLIP, 0.0), DPExamples(CLIP, 0.0)])
def test_a_step_of_zeros_made_the_message_nan(hook):
  """Of images that are learned by heart the gradient is 0, where a norm has no derivative."""
  start = jnp.zeros(6).at[0].set(1)
  known = jnp.zeros((COUNT, 6)).at[:, 0].set(1)
  learner = Learner(1, RATE, defence=Defence(inner=hook))
  exact = meta_gradient(squares, start, task_of(known), Learner(1, RATE))
  found = send_gradient(KEY, squares, start, task_of(known), learner)
  np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_each_support_example_is_clipped_in_each_step():
  """By hand, in NumPy: two steps of means of clipped gradients, which a delta sends."""
  theta = start = np.asarray(PARAMS, np.float64)
  for _ in range(2):
    terms = [(x @ theta - 1) * x for x in np.asarray(IMAGES, np.float64)]
    assert min(map(np.linalg.norm, terms)) > CLIP
    theta = theta - RATE * np.mean([CLIP * t / np.linalg.norm(t) for t in terms], axis=0)
  found = sent(DPExamples(CLIP, 0.0), IMAGES, sends='delta', steps=2)
  np.testing.assert_allclose(found, theta - start, rtol=1e-3)


@pytest.mark.parametrize('sends', ['maml', 'fomaml'])
def test_a_clip_that_nothing_reaches_changes_nothing(sends):
  """Strength zero, through the steps' derivatives, too."""
  exact = meta_gradient(squares, PARAMS, task_of(IMAGES), Learner(2, RATE, sends=sends))
  for hook in (DPGaussian(1e6, 0.0), DPExamples(1e6, 0.0)):
    found = sent(hook, IMAGES, sends=sends, steps=2)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ('hook', 'changed', 'count'), [(DPGaussian, COUNT, 1), (DPExamples, 1, COUNT)]
)
def test_no_search_finds_steps_further_apart_than_two_clips(hook, changed, count):
  """Sensitivity of a step: of the mean where a whole set is replaced, of the sum for one."""

  def apart(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
    both = pair[0], pair[0].at[:changed].set(pair[1])
    one, two = (sent(hook(CLIP, 0.0), images, sends='delta') for images in both)
    return count / RATE * jnp.linalg.norm(one - two)

  def climb(pair: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
    far, slope = jax.value_and_grad(apart)(pair)
    step = 0.3 / jnp.maximum(norm(slope), 1e-12)
    return jax.tree.map(lambda x, s: x + step * s, pair, slope), far

  starts = jax.random.normal(KEY, (8, COUNT + changed, 6))
  starts = starts[:, :COUNT], starts[:, COUNT:]
  search = jax.jit(jax.vmap(lambda *pair: jax.lax.scan(climb, pair, None, length=200)[1]))
  slack = 1 + 1e-5  # theta, of which w is taken off, is rounded
  assert 0.99 * 2 * CLIP <= search(*starts).max() <= 2 * CLIP * slack


FIRST_ORDER = ('fomaml', 'reptile', 'delta')
OTHER_KINDS = ('maml', ImplicitMAML(1.0), Custom(lambda *a: a[0], is_gradient=True))


def test_first_order_alone_has_a_guarantee():
  """Second order differentiates through the raw set: a number printed for it would be false."""
  epsilon = DPGaussian(1.0, 4.0).epsilon(DELTA, rounds=6)
  told = {'delta': DELTA, 'rounds': 3}
  for sends in FIRST_ORDER:
    learner = Learner(2, RATE, sends=sends)
    assert guarantees(TERMS, learner, **told) == {'support example': epsilon}
    assert guarantees(WHOLE, learner, **told) == {'support set': epsilon}
    assert guarantees(Defence(inner=Gaussian(4.0)), learner, **told) == {}
  for sends in OTHER_KINDS:
    for defence in (TERMS, WHOLE):
      assert guarantees(defence, Learner(2, RATE, sends=sends), **told) == {}
  assert guarantees(TERMS, Learner(0, RATE, sends='fomaml'), **told) == {}
  both = TERMS._replace(outgoing=DPExamples(CLIP, 9.0))
  found = guarantees(both, Learner(2, RATE, sends='fomaml'), **told)
  assert [*found] == ['support example', 'query example']
  with pytest.raises(InputError, match='no guarantee'):
    TERMS.epsilon(DELTA)


@pytest.mark.parametrize('steps', [1, 2])
def test_a_bracket_closes_on_a_support_example(steps):
  """To first order, over all steps: above the account their noise would be wrong."""
  hook = DPExamples.calibrated(CLIP, epsilon=4.0, delta=DELTA, rounds=steps)
  learner = Learner(steps, 1.0, sends='fomaml', defence=Defence(inner=hook))
  members, ones = np.arange(40_000) % 2 == 0, jnp.ones((COUNT, 3))

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    support = (100 * ones).at[0].multiply(jnp.where(member, 1.0, -1.0))
    task = Task(Batch(support, LABELS), Batch(ones[:1], LABELS[:1]))
    return jnp.sum(send_gradient(key, squares, jnp.zeros(3), task, learner))

  play = jax.jit(jax.vmap(one))
  played = [
    (np.asarray(play(jax.random.split(jax.random.key(seed), len(members)), members)), members)
    for seed in (1, 2)
  ]
  found = empirical_epsilon(*played, delta=DELTA, is_gaussian=True)
  assert found <= 4.0
  assert steps > 1 or found >= 0.8 * 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Clipped:
  """The clip of the terms of a step."""

  hook: DPExamples
  takes_terms: bool = True

  def __call__(self, step: jax.Array, terms: Params) -> Params:
    del step
    return self.hook.mean_of(terms)


@functools.partial(jax.jit, static_argnames='sends')
def scored(keys: jax.Array, members: jax.Array, hook: DPExamples, *, sends: str) -> jax.Array:
  """Scores of who knows the query set and both support sets, and undoes the Hessian of each.

  What is left is a query gradient if the set is the right one, so that it lies in the span of
  the query images, whatever the adapted parameters are: noise on these is no protection.
  """
  pair = IMAGES, IMAGES.at[0].set(OTHERS[2])
  learner = Learner(1, RATE, sends=sends, defence=Defence(inner=hook))
  basis = jnp.linalg.qr(OTHERS[:2].T)[0]

  def through(support: jax.Array) -> jax.Array:
    """The derivative of the adapted parameters in w: noise that is added has none."""
    plain, clipped = Learner(1, RATE), _Clipped(hook)
    return jax.jacobian(
      lambda w: adapt(squares, w, Batch(support, LABELS), plain, perturb=clipped)
    )(PARAMS)

  def outside(inverse: jax.Array, message: jax.Array) -> jax.Array:
    undone = inverse.T @ message
    return jnp.linalg.norm(undone - basis @ (basis.T @ undone)) / jnp.linalg.norm(undone)

  inverses = [jnp.linalg.inv(through(images)) for images in pair]

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    message = send_gradient(key, squares, PARAMS, task_of(jnp.where(member, *pair)), learner)
    return outside(inverses[1], message) - outside(inverses[0], message)

  return jax.vmap(one)(keys, members)


def test_the_hessian_of_the_raw_support_set_gives_it_away():
  """Second order: the noise that guarantees epsilon 1 to first order hides nothing at all."""
  hook = DPExamples.calibrated(1.0, epsilon=1.0, delta=DELTA)
  members, shown, right = np.arange(2000) % 2 == 0, {}, {}
  for sends in ('maml', 'fomaml'):
    played = []
    for seed in (1, 2):
      keys = jax.random.split(jax.random.key(seed), len(members))
      played.append((np.asarray(scored(keys, members, hook, sends=sends)), members))
    shown[sends] = empirical_epsilon(*played, delta=DELTA)
    right[sends] = np.mean((played[1][0] > 0) == members)
  assert right['maml'] == 1.0
  assert shown['maml'] > 4.0
  assert right['fomaml'] < 0.7
  assert shown['fomaml'] <= 1.0


def test_it_is_named_with_its_two_numbers():
  """In a sweep, beside what is done to what is sent."""
  made = make_defence('dp_steps+dp_examples+sign', scale=0.0, clip=0.5, noise_multiplier=2.0)
  assert made.inner == DPExamples(0.5, 2.0)
  assert parts_of(made.outgoing)[0] == DPExamples(0.5, 2.0)
  with pytest.raises(InputError, match="'dp_steps' has noise of its own on the adaptation"):
    parse_defence('dp_steps+inner_gradient_noise')
  first = Learner(1, 0.1, sends='fomaml')
  chained = Defence(inner=Chain(DPExamples(CLIP, 4.0), TopK(0.5)))
  assert [*guarantees(chained, first, delta=DELTA)] == ['support example']
