"""Bracket: bounds of epsilon that trials show, from below, and that of the account, above."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.audit.certainty import empirical_epsilon
from mamljax.defences import DPGaussian
from mamljax.learner import send_gradient
from mamljax.maml import meta_gradient
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params, Task

DELTA, CLIP, TRIALS = 1e-5, 0.1, 40_000
MEMBERS = np.arange(TRIALS) % 2 == 0
PARAMS = jnp.zeros(3)
ONES = Batch(jnp.ones((1, 3)), jnp.zeros(1, int))


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """A linear loss, whose gradient is the mean image: its worst neighbours are opposite."""
  return jnp.mean(batch.images @ params)


def planted(sign: float | jax.Array) -> Task:
  """One of the worst neighbours: their gradients are opposite, and longer than the clip."""
  return Task(ONES, ONES._replace(images=sign * ONES.images))


@functools.partial(jax.jit, static_argnames='count')
def scores(
  key: jax.Array, mechanism: DPGaussian, members: jax.Array, *, count: int
) -> jax.Array:
  """The projection of what is sent on the difference of the worst neighbours' gradients."""
  learner = Learner(1, 0.1, defence=mechanism)
  towards = meta_gradient(loss_fn, PARAMS, planted(1.0), Learner(1, 0.1))

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    task = planted(jnp.where(member, 1.0, -1.0))
    return towards @ send_gradient(key, loss_fn, PARAMS, task, learner)

  return jax.vmap(one)(jax.random.split(key, count), members)


def trials(seed: int, mechanism: DPGaussian, members: np.ndarray):
  """Scores of trials with the planted task or the opposite one, and which it was."""
  found = scores(jax.random.key(seed), mechanism, jnp.asarray(members), count=len(members))
  return np.asarray(found, np.float64), members


@pytest.mark.parametrize('epsilon', [1, 2, 4, 8, 16])
def test_the_bracket_closes_on_the_worst_neighbours(epsilon):
  """Above the account the noise would be wrong; far below it, the trials would show nothing."""
  mechanism = DPGaussian.calibrated(CLIP, epsilon=epsilon, delta=DELTA)
  sent = [trials(seed, mechanism, MEMBERS) for seed in (2 * epsilon, 2 * epsilon + 1)]
  shown = empirical_epsilon(sent[0], sent[1], delta=DELTA, is_gaussian=True)
  assert 0.8 * epsilon <= shown <= epsilon
  assert empirical_epsilon(sent[0], sent[1], delta=DELTA) <= shown


def test_half_the_noise_is_found_out():
  """Positive control: a mechanism that does not do what it says passes its own account."""
  told = DPGaussian.calibrated(CLIP, epsilon=2.0, delta=DELTA)
  done = DPGaussian(CLIP, told.noise_multiplier / 2)
  sent = [trials(seed, done, MEMBERS) for seed in (0, 1)]
  assert empirical_epsilon(sent[0], sent[1], delta=DELTA, is_gaussian=True) > 2.0


@pytest.mark.parametrize('is_gaussian', [True, False])
def test_a_null_shows_something_no_more_often_than_it_may(is_gaussian):
  """Over 1,000 repetitions of scores that know nothing: in 5 % at the most."""
  random, members = np.random.default_rng(0), np.arange(200) % 2 == 0
  shown = [
    empirical_epsilon(
      *((random.normal(size=200), members) for _ in range(2)),
      delta=DELTA,
      is_gaussian=is_gaussian,
    )
    for _ in range(1000)
  ]
  assert np.mean(np.array(shown) > 0) <= 0.05
  assert min(shown) == 0
