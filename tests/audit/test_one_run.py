"""Many canaries in one message: a bound that never passes the account, and shows something."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.audit.one_run import one_run_epsilon
from mamljax.defences import DPExamples
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params, Task

CANARIES, DELTA = 1000, 1e-5
LABELS = jnp.arange(CANARIES)
IMAGES = jnp.ones((CANARIES, 1))


def signed(params: Params, batch: Batch, /) -> jax.Array:
  """A loss in which every example has a parameter of its own: canaries that do not mix."""
  return jnp.mean(batch.images[:, 0] * params[batch.labels])


@jax.jit
def played(key: jax.Array, mechanism: DPExamples) -> tuple[jax.Array, jax.Array]:
  """The scores of all canaries of one message, each of one sign or the other, and which."""
  key_coins, key_send = jax.random.split(key)
  members = jax.random.bernoulli(key_coins, shape=(CANARIES,))
  query = Batch(jnp.where(members, 1.0, -1.0)[:, None], LABELS)
  task = Task(Batch(IMAGES[:1], LABELS[:1]), query)
  learner = Learner(1, 0.1, defence=mechanism)
  return send_gradient(key_send, signed, jnp.zeros(CANARIES), task, learner), members


def shown(seed: int, mechanism: DPExamples, guesses: int = 100) -> float:
  """The bound that one message shows."""
  found = played(jax.random.key(seed), mechanism)
  return one_run_epsilon(*map(np.asarray, found), guesses=guesses, delta=DELTA)


@functools.cache
def mechanism(epsilon: float) -> DPExamples:
  """Clipped query examples with the noise of a guarantee, as arrays: one program for all."""
  made = DPExamples.calibrated(0.5, epsilon=epsilon, delta=DELTA)
  return jax.tree.map(jnp.float32, made)


@pytest.mark.parametrize('epsilon', [1, 2, 4, 8, 16])
def test_one_message_shows_something_and_no_more_than_is_guaranteed(epsilon):
  """Above the account its noise would be wrong; of 0 the canaries would be worth nothing.

  Of ten messages, each of which may pass it with a probability of 5 %; 3.47 is the most that a
  hundred guesses can show.
  """
  found = [shown(seed, mechanism(float(epsilon))) for seed in range(10)]
  assert np.mean(np.array(found) > epsilon) <= 0.2
  assert np.median(found) > min(3.4, (0.2 if epsilon == 1 else 0.35) * epsilon)


def test_a_tenth_of_the_noise_is_found_out():
  """Positive control, from one message: a mechanism that does not do what it says."""
  told = mechanism(2.0)
  assert shown(0, DPExamples(told.clip, told.noise_multiplier / 10)) > 2.0


def test_a_null_shows_something_no_more_often_than_it_may():
  """Over 1,000 messages of which nobody knows anything: in 5 % at the most."""
  random = np.random.default_rng(0)
  found = [
    one_run_epsilon(random.normal(size=200), random.random(200) < 0.5, guesses=40)
    for _ in range(1000)
  ]
  assert np.mean(np.array(found) > 0) <= 0.05


def test_without_delta_it_is_the_binomial_test():
  """By hand: ten right guesses of ten are as rare as p^10."""
  scores = np.arange(20.0)
  found = one_run_epsilon(scores, scores > 9, guesses=10)
  p = 0.05 ** (1 / 10)
  assert found == pytest.approx(np.log(p / (1 - p)))
  assert stats.binom(10, p).sf(9) == pytest.approx(0.05)
  assert one_run_epsilon(scores, scores > 9, guesses=10, delta=1e-3) < found
  assert one_run_epsilon(-scores, scores > 9, guesses=10) == 0


@pytest.mark.parametrize('guesses', [0, 3, 22])
def test_guesses_that_cannot_be_are_refused(guesses):
  """An odd one would be on neither side."""
  with pytest.raises(InputError, match='even number from 2 to the 20 canaries'):
    one_run_epsilon(np.arange(20.0), np.arange(20) > 9, guesses=guesses)
