"""Clipped and noised steps: private by post-processing, to first order and no further."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

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
from tests.defences.test_dp_gaussian import KEY, LABELS, PARAMS, SLACK, loss_fn, size, task_of

CLIP, DELTA, RATE, COUNT = 0.05, 1e-5, 0.3, len(LABELS)
HOOKS = {'set': DPGaussian(CLIP, 0.0), 'terms': DPExamples(CLIP, 0.0)}


def sent(learner: Learner, hook, task: Task) -> Params:
  """The message of a learner whose adaptation is defended."""
  defended = dataclasses.replace(learner, defence=Defence(inner=hook))
  return send_gradient(KEY, loss_fn, PARAMS, task, defended)


def test_each_support_example_is_clipped_in_each_step():
  """By hand: two steps of clipped means of clipped gradients; 'reptile' sends them."""
  support, theta = task_of(jax.random.normal(KEY, (2, COUNT, 6))).support, PARAMS
  for _ in range(2):
    step = jax.tree.map(jnp.zeros_like, theta)
    for i in range(COUNT):
      term = jax.grad(loss_fn)(theta, Batch(*(x[i : i + 1] for x in support)))
      factor = CLIP / size(term)
      assert factor < 1
      step = jax.tree.map(lambda s, t, f=factor: s + f * t / COUNT, step, term)
    theta = jax.tree.map(lambda t, s: t - RATE * s, theta, step)
  found = sent(Learner(2, RATE, sends='delta'), HOOKS['terms'], Task(support, support))
  expected = jax.tree.map(jnp.subtract, theta, PARAMS)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found, expected
  )


@pytest.mark.parametrize('hook', [DPGaussian(1e6, 0.0), DPExamples(1e6, 0.0)])
@pytest.mark.parametrize('sends', ['maml', 'fomaml'])
def test_a_clip_that_nothing_reaches_changes_nothing(hook, sends):
  """Strength zero, through the steps' derivatives, too."""
  task = task_of(jax.random.normal(KEY, (2, COUNT, 6)))
  learner = Learner(2, RATE, sends=sends)
  exact = meta_gradient(loss_fn, PARAMS, task, learner)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
    sent(learner, hook, task),
    exact,
  )


@pytest.mark.parametrize(('name', 'changed'), [('set', COUNT), ('terms', 1)])
def test_no_search_finds_steps_further_apart_than_two_clips(name, changed):
  """Sensitivity of a step: of the mean where a whole set is replaced, of the sum for one."""
  hook, count = HOOKS[name], {'set': 1, 'terms': COUNT}[name]
  learner = Learner(1, 1.0, sends='delta', defence=Defence(inner=hook))

  def apart(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
    first, other = pair
    both = first, first.at[:changed].set(other)
    tasks = (Task(Batch(x, LABELS), Batch(x, LABELS)) for x in both)
    one, two = (send_gradient(KEY, loss_fn, PARAMS, task, learner) for task in tasks)
    return count * norm(jax.tree.map(jnp.subtract, one, two))

  def climb(pair, _):
    far, slope = jax.value_and_grad(apart)(pair)
    step = 0.3 / jnp.maximum(norm(slope), 1e-12)
    return jax.tree.map(lambda x, s: x + step * s, pair, slope), far

  def search(key: jax.Array) -> jax.Array:
    keys = jax.random.split(key)
    pair = jax.random.normal(keys[0], (COUNT, 6)), jax.random.normal(keys[1], (changed, 6))
    return jax.lax.scan(climb, pair, None, length=150)[1].max()

  found = jax.jit(jax.vmap(search))(jax.random.split(KEY, 8))
  assert 0.99 * 2 * CLIP <= found.max() <= 2 * CLIP * SLACK


FIRST_ORDER = ('fomaml', 'reptile', 'delta')
OTHERS = ('maml', ImplicitMAML(1.0), Custom(lambda *a: a[0], is_gradient=True))


def test_first_order_alone_has_a_guarantee():
  """Second order differentiates through the raw set: a number printed for it would be false."""
  terms, whole = Defence(inner=DPExamples(CLIP, 4.0)), Defence(inner=DPGaussian(CLIP, 4.0))
  epsilon = DPGaussian(1.0, 4.0).epsilon(DELTA, rounds=6)
  told = {'delta': DELTA, 'rounds': 3}
  for sends in FIRST_ORDER:
    learner = Learner(2, RATE, sends=sends)
    assert guarantees(terms, learner, **told) == {'support example': epsilon}
    assert guarantees(whole, learner, **told) == {'support set': epsilon}
    assert guarantees(Defence(inner=Gaussian(4.0)), learner, **told) == {}
  for sends in OTHERS:
    for defence in (terms, whole):
      assert guarantees(defence, Learner(2, RATE, sends=sends), **told) == {}
  assert guarantees(terms, Learner(0, RATE, sends='fomaml'), **told) == {}
  both = Defence(inner=DPExamples(CLIP, 4.0), outgoing=DPExamples(CLIP, 9.0))
  found = guarantees(both, Learner(2, RATE, sends='fomaml'), **told)
  assert [*found] == ['support example', 'query example']
  with pytest.raises(InputError, match='no guarantee'):
    terms.epsilon(DELTA)


def shown(played) -> float:
  """The lower bound of epsilon that two phases of scores show."""
  return empirical_epsilon(*played, delta=DELTA)


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


@functools.partial(jax.jit, static_argnames='sends')
def scored(key: jax.Array, members: jax.Array, hook: DPExamples, *, sends: str) -> jax.Array:
  """Scores of who knows the query set and both support sets, and undoes the Hessian of each.

  What is left is a query gradient if the set is the right one, so that its first layer lies in
  the span of the query images, whatever the adapted parameters are: noise on these is no
  protection.
  """
  images = jax.random.normal(jax.random.key(9), (COUNT, 6))
  other = images.at[0].set(jax.random.normal(jax.random.key(10), (6,)))
  query = Batch(jax.random.normal(jax.random.key(11), (2, 6)), LABELS[:2])
  learner = Learner(1, RATE, sends=sends, defence=Defence(inner=hook))
  basis = jnp.linalg.qr(query.images.T)[0]
  flat, unravel = ravel_pytree(PARAMS)

  def through(support: jax.Array) -> jax.Array:
    """The derivative of the adapted parameters in w, of steps with a clip and known noise."""
    hooked = dataclasses.replace(hook, noise_multiplier=0.0)

    def theta(vector: jax.Array) -> jax.Array:
      plain = Learner(1, RATE, sends='maml')
      message = adapt(
        loss_fn, unravel(vector), Batch(support, LABELS), plain, perturb=_Clipped(hooked)
      )
      return ravel_pytree(message)[0]

    return jax.jacobian(theta)(flat)

  def outside(inverse: jax.Array, message: jax.Array) -> jax.Array:
    first = unravel(inverse.T @ message)['first']
    return jnp.linalg.norm(first - basis @ (basis.T @ first)) / jnp.linalg.norm(first)

  inverses = [jnp.linalg.inv(through(x)) for x in (images, other)]

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    task = Task(Batch(jnp.where(member, images, other), LABELS), query)
    message = ravel_pytree(send_gradient(key, loss_fn, PARAMS, task, learner))[0]
    return outside(inverses[1], message) - outside(inverses[0], message)

  return jax.vmap(one)(jax.random.split(key, len(members)), members)


@dataclasses.dataclass(frozen=True, eq=False)
class _Clipped:
  """The clip of the terms of a step."""

  hook: DPExamples
  takes_terms: bool = True

  def __call__(self, step: jax.Array, terms: Params) -> Params:
    del step
    return self.hook.mean_of(terms)


@pytest.mark.parametrize(('sends', 'leaks'), [('maml', True), ('fomaml', False)])
def test_the_hessian_of_the_raw_support_set_gives_it_away(sends, leaks):
  """Second order: the noise that guarantees epsilon 1 to first order hides nothing at all."""
  hook = DPExamples.calibrated(1.0, epsilon=1.0, delta=DELTA)
  members = np.arange(2000) % 2 == 0
  played = [
    (np.asarray(scored(jax.random.key(seed), jnp.asarray(members), hook, sends=sends)), members)
    for seed in (1, 2)
  ]
  scores = played[1][0]
  right = np.mean((scores > 0) == members)
  assert (right > 0.99) == leaks
  assert (shown(played) > 1.0) == leaks


def test_it_is_named_with_its_two_numbers():
  """In a sweep, beside what is done to what is sent."""
  made = make_defence('dp_steps+dp_examples+sign', scale=0.0, clip=0.5, noise_multiplier=2.0)
  assert made.inner == DPExamples(0.5, 2.0)
  assert made.outgoing.parts[0] == DPExamples(0.5, 2.0)
  with pytest.raises(InputError, match="'dp_steps' has noise of its own on the adaptation"):
    parse_defence('dp_steps+inner_gradient_noise')
  first = Learner(1, 0.1, sends='fomaml')
  chained = Defence(inner=Chain(DPExamples(CLIP, 4.0), TopK(0.5)))
  assert [*guarantees(chained, first, delta=DELTA)] == ['support example']
