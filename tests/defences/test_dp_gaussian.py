"""Gaussian mechanism: its clip and its noise, and the worst neighbours that a search finds."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from scipy import stats

from mamljax.defences import Defence, DPGaussian, Gaussian
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.maml import meta_gradient
from mamljax.numerics import norm
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params, Task

KEY = jax.random.key(3)
LABELS = jnp.array([0, 1, 0, 1])
SLACK = 1 + 1e-6  # the rounding of float32
VALUE = {'a': jnp.zeros(50_000), 'b': (jnp.zeros((500, 10)),)}
PARAMS = {
  'first': jax.random.normal(jax.random.key(0), (6, 5)),
  'second': jax.random.normal(jax.random.key(1), (5, 2)),
}


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """A hidden layer of tanh units."""
  logits = jnp.tanh(batch.images @ params['first']) @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def task_of(images: jax.Array) -> Task:
  """The task with these images [2, n, features]: support set, query set."""
  return Task(Batch(images[0], LABELS), Batch(images[1], LABELS))


def size(tree: Params) -> float:
  """The norm in double precision."""
  return float(np.linalg.norm(np.asarray(ravel_pytree(tree)[0], np.float64)))


numbers = st.lists(st.floats(-10, 10, width=32), min_size=8, max_size=8)


@settings(deadline=None)
@given(numbers, st.integers(-36, 36), st.integers(-30, 30))
def test_a_clip_is_never_passed_and_changes_nothing_below(values, exponent, clip_exponent):
  """Also where squares overflow or vanish: one number too great, and nothing is guaranteed."""
  value = {'x': jnp.asarray(values, jnp.float32) * jnp.float32(10.0**exponent)}
  clip = 10.0**clip_exponent
  found, own = DPGaussian(clip, 1.0).clipped(value), size(value)
  assert size(found) <= clip * SLACK
  if own <= clip / SLACK:
    np.testing.assert_array_equal(found['x'], value['x'])
  elif own > 1e-30:  # beyond what float32 rounds to 0
    assert size(found) == pytest.approx(clip, rel=1e-5)
    expected = np.asarray(value['x'], np.float64) * (clip / own)
    np.testing.assert_allclose(found['x'], expected, rtol=1e-5, atol=1e-6 * clip)


@pytest.mark.parametrize('wrong', [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_becomes_nan_as_a_whole(wrong):
  """Else its finite numbers would be sent unclipped, or as zeros that look like privacy."""
  found = DPGaussian(0.1, 0.0).clipped({'a': jnp.array([1.0, wrong]), 'b': jnp.ones(3)})
  assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(found))


def test_zeros_stay_zeros():
  """Dead networks send them; 0 / 0 would be NaN."""
  found = DPGaussian(0.1, 0.0)(KEY, VALUE)
  assert not any(leaf.any() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize('largest', [0.0, 1e-42, 1e-30, 0.05])
def test_the_derivative_of_what_is_kept_was_nan_where_all_is_zero(largest):
  """A step of zeros, as of images that are learned by heart, made the whole message NaN."""
  slope = jax.jacobian(DPGaussian(0.1, 0.0).clipped)(jnp.array([largest, 0.0, 0.0]))
  np.testing.assert_array_equal(slope, np.eye(3))


@pytest.mark.parametrize('kind', [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize('number', [float, np.float64, jnp.float32])
def test_each_leaf_keeps_its_type(kind, number):
  """And low precision costs its rounding: of 500 squares in 8 bits little would be left."""
  value = {'x': jnp.full(500, 0.5, kind)}
  mechanism = DPGaussian(number(0.25), number(0.0))
  found = mechanism(KEY, value)['x']
  assert found.dtype == kind
  assert size(found) == pytest.approx(0.25, rel=float(jnp.finfo(kind).eps))


def test_noise_of_its_scale_is_on_every_number():
  """Noise on the numbers that are not 0 alone would leak which are."""
  noisy = DPGaussian(0.5, 3.0)(KEY, VALUE)
  flat = np.asarray(ravel_pytree(noisy)[0])
  assert stats.kstest(flat, stats.norm(0, 1.5).cdf).pvalue > 0.001
  assert np.all(flat != 0)


def test_without_noise_it_is_the_clip_alone():
  """Strength zero; and with a clip that nothing reaches, the undefended numbers."""
  task = task_of(jax.random.normal(KEY, (2, 4, 6)))
  exact = meta_gradient(loss_fn, PARAMS, task, Learner(1, 0.1))
  for clip in (0.01, 1e6):
    learner = Learner(1, 0.1, defence=DPGaussian(clip, 0.0))
    sent = send_gradient(KEY, loss_fn, PARAMS, task, learner)
    factor = min(1, clip / size(exact))
    for found, whole in zip(*map(jax.tree.leaves, (sent, exact)), strict=True):
      np.testing.assert_allclose(found, factor * whole, rtol=1e-5 * (factor < 1))


def test_rates_are_clipped_with_the_gradient():
  """All that is sent counts: Meta-SGD sends two gradients."""
  rates = jax.tree.map(jnp.ones_like, PARAMS)
  learner = Learner(1, 0.1, rates, defence=DPGaussian(0.01, 0.0))
  task = task_of(jax.random.normal(KEY, (2, 4, 6)))
  assert size(send_gradient(KEY, loss_fn, PARAMS, task, learner)) == pytest.approx(0.01)


def test_by_itself_it_is_a_defence_of_what_is_sent():
  """Bit for bit: one mechanism, said in two ways."""
  mechanism = DPGaussian(0.1, 1.0)
  task = task_of(jax.random.normal(KEY, (2, 4, 6)))
  sent = [
    send_gradient(KEY, loss_fn, PARAMS, task, Learner(1, 0.1, defence=defence))
    for defence in (mechanism, Defence(outgoing=mechanism))
  ]
  given = send_gradient(KEY, loss_fn, PARAMS, task, Learner(1, 0.1), defence=mechanism)
  for other in (sent[1], given):
    assert jax.tree.all(jax.tree.map(jnp.array_equal, sent[0], other))


def apart(images: jax.Array, clip: float | jax.Array) -> jax.Array:
  """The distance of what two tasks send before noise; images [2, 2, n, features]."""
  learner = Learner(1, 0.1, defence=DPGaussian(clip, 0.0))
  first, second = (send_gradient(KEY, loss_fn, PARAMS, task_of(x), learner) for x in images)
  return norm(jax.tree.map(jnp.subtract, first, second))


def climb_apart(start: jax.Array, clip: float) -> jax.Array:
  """The distances on the way to the worst neighbours, by gradient ascent."""

  def climb(images: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    far, slope = jax.value_and_grad(apart)(images, clip)
    return images + 0.3 * slope / jnp.maximum(norm(slope), 1e-12), far

  return jax.lax.scan(climb, start, None, length=200)[1]


@pytest.mark.parametrize('clip', [0.02, 0.2])
def test_no_search_finds_neighbours_further_apart_than_two_clips(clip):
  """Sensitivity: the account rests on it. The search does find some that reach it."""
  starts = jax.random.normal(jax.random.key(5), (8, 2, 2, 4, 6))
  found = jax.jit(jax.vmap(lambda start: climb_apart(start, clip)))(starts)
  assert found.max() <= 2 * clip * SLACK
  assert found.max() >= 0.99 * 2 * clip


def test_adding_a_task_moves_what_is_sent_by_one_clip():
  """The other neighbouring relation: a task that is not there sends nothing."""
  tasks = jax.random.normal(jax.random.key(6), (32, 2, 4, 6)) * 10
  learner = Learner(1, 0.1, defence=DPGaussian(0.05, 0.0))
  sent = jax.vmap(lambda x: send_gradient(KEY, loss_fn, PARAMS, task_of(x), learner))(tasks)
  sizes = np.sqrt(sum(np.sum(np.square(leaf), (1, 2)) for leaf in jax.tree.leaves(sent)))
  assert sizes.max() <= 0.05 * SLACK
  assert sizes.max() >= 0.05 / SLACK


def test_a_change_of_either_number_compiles_nothing_anew():
  """A sweep over noise would otherwise compile each of its cells."""
  traces = []

  @jax.jit
  def send(mechanism: DPGaussian) -> Params:
    traces.append(mechanism)
    learner = Learner(1, 0.1, defence=mechanism)
    task = task_of(jnp.ones((2, 4, 6)))
    return send_gradient(KEY, loss_fn, PARAMS, task, learner)

  found = [send(DPGaussian(*pair)) for pair in ((0.1, 1.0), (0.2, 1.0), (0.2, 0.5))]
  assert len(traces) == 1
  assert len({float(norm(each)) for each in found}) == 3


def test_many_clips_and_keys_side_by_side_are_those_one_by_one():
  """Under vmap each trial has its own noise, and each clip its own factor."""
  clips, keys = jnp.array([0.1, 1.0, 100.0]), jax.random.split(KEY, 3)
  value = {'x': jnp.arange(5.0)}
  both = jax.vmap(lambda clip, key: DPGaussian(clip, 0.3)(key, value))(clips, keys)
  stacked = jax.vmap(lambda made, key: made(key, value))(
    DPGaussian(clips, clips * 0 + 0.3), keys
  )
  for i, (clip, key) in enumerate(zip(clips, keys, strict=True)):
    alone = DPGaussian(float(clip), 0.3)(key, value)['x']
    np.testing.assert_allclose(both['x'][i], alone, rtol=1e-5)
    np.testing.assert_allclose(stacked['x'][i], alone, rtol=1e-5)


BAD = [
  ((0, 1.0), 'clip must be a finite number above 0, not 0'),
  ((-1.0, 1.0), 'clip must be a finite number above 0, not -1.0'),
  ((jnp.float32(0), 1.0), 'clip must be a finite number above 0, not Array(0'),
  (
    (None, 1.0),
    'clip must be a finite number above 0, not None: noise has a guarantee only in',
  ),
  ((float('inf'), 1.0), 'clip must be a finite number above 0, not inf'),
  (('0.1', 1.0), "clip must be a finite number above 0, not '0.1'"),
  ((1.0, -1), 'noise_multiplier must be a finite number, 0 or more, not -1'),
  ((1.0, float('nan')), 'noise_multiplier must be a finite number, 0 or more, not nan'),
  ((1.0, None), 'noise_multiplier must be a finite number, 0 or more, not None'),
]


@pytest.mark.parametrize(('numbers', 'message'), BAD)
def test_a_mechanism_of_no_size_is_met_with_one_line(numbers, message):
  """Else it would be believed to guarantee something."""
  with pytest.raises(InputError) as caught:
    DPGaussian(*numbers)
  assert str(caught.value).startswith(message)
  assert '\n' not in str(caught.value)


def test_several_clips_are_for_vmap():
  """They would be broadcast against the parameters."""
  with pytest.raises(InputError, match='clip must be one number'):
    DPGaussian(jnp.ones(2), 1.0)(KEY, VALUE)


def test_a_guarantee_is_asked_of_what_has_one():
  """Noise without a clip bounds nothing, and no noise nothing at all."""
  protected = Defence(query=Gaussian(0.1), outgoing=DPGaussian(0.1, 2.0))
  assert protected.epsilon(1e-5) == DPGaussian(5.0, 2.0).epsilon(1e-5)
  lacking = [Gaussian(0.1), Defence(outgoing=Gaussian(0.1)), Defence(query=Gaussian(0.1))]
  for defence in lacking:
    with pytest.raises(InputError, match=r'has no guarantee: noise on .* DPGaussian\(clip'):
      defence.epsilon(1e-5)


def test_a_hook_without_its_point_is_no_defence():
  """Unpacked as four hooks, the numbers of a Gaussian would be called as functions."""
  with pytest.raises(InputError, match=r'not Gaussian\(.*Defence\(outgoing='):
    Learner(1, 0.1, defence=cast(Any, Gaussian(0.1)))
  with pytest.raises(InputError, match=r'a defence is a mamljax\.Defence or a DPGaussian'):
    send_gradient(
      KEY, loss_fn, PARAMS, task_of(jnp.ones((2, 4, 6))), Learner(1, 0.1), defence=cast(Any, 3)
    )
