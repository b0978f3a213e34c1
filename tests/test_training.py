"""Meta-training learns, and can be stopped and taken up again without a trace."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mamljax import training
from mamljax.defences import Defence, Gaussian
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params
from mamljax.training import State, Training
from mamljax.types import Pool

CLASSES, PER_CLASS, SHAPE, WAYS = 12, 20, (4, 3, 1), 2
KEY = jax.random.key(2)


class Tiny(nn.Module):
  """A hidden layer of tanh units."""

  ways: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    hidden = nn.tanh(nn.Dense(16)(images.reshape(len(images), -1) - 0.5))
    return nn.Dense(self.ways)(hidden)


NETWORK = Tiny(WAYS)
TRAINING = Training(
  loss_fn=CrossEntropy(NETWORK),  # pyright: ignore[reportArgumentType]
  inner=InnerLoop(1, 1.0),
  learning_rate=0.03,
  ways=WAYS,
  shots=1,
)


@functools.cache
def pool(seed: int) -> Pool:
  """Classes that one row of pixels tells apart; the other three are noise."""
  random, prototypes = np.random.default_rng(seed), np.random.default_rng(99)
  images = random.uniform(size=(CLASSES, PER_CLASS, *SHAPE))
  rows = prototypes.uniform(0.1, 0.9, size=(CLASSES, 1, 3, 1))
  images[:, :, 0] = rows + random.normal(scale=0.05, size=(CLASSES, PER_CLASS, 3, 1))
  pixels = np.rint(255 * images.clip(0, 1)).astype(np.uint8).reshape(-1, *SHAPE)
  starts = np.arange(CLASSES) * PER_CLASS
  return Pool(*map(jnp.asarray, (pixels, starts, np.full(CLASSES, PER_CLASS))))


traced: list[int] = []


@functools.partial(jax.jit, static_argnames='rounds')
def train(
  state: State, images: Pool, described: Training, *, rounds: int
) -> tuple[State, jax.Array]:
  traced.append(rounds)
  return training.train(KEY, state, images, described, rounds=rounds)


def after(
  rounds: int, described: Training = TRAINING, *, calls: int = 1
) -> tuple[State, np.ndarray]:
  """The state of a training after so many calls of so many rounds, and the norms on the way."""
  state, norms = start(), []
  for _ in range(calls):
    state, found = train(state, pool(0), described, rounds=rounds)
    norms.append(found)
  return state, np.concatenate(norms)


@jax.jit
def held_out(state: State, images: Pool) -> jax.Array:
  """Accuracies on images of the same classes that training never saw."""
  return training.meta_test(KEY, state.params, images, TRAINING, tasks=300)


@functools.cache
def start() -> State:
  return training.init(init_params(jax.random.key(0), NETWORK, SHAPE))


def defended(**scales: float) -> Training:
  """With noise of these scales, 0 where none is given."""
  noise = Defence(*(Gaussian(scales.get(point, 0.0)) for point in Defence._fields))
  return dataclasses.replace(TRAINING, defence=noise)


def flat(state: State) -> np.ndarray:
  return np.asarray(ravel_pytree(state.params)[0])


def test_rounds_in_one_call_are_the_rounds_in_two():
  """Bit for bit: else a resumed training is another training than an uninterrupted one."""
  (whole, norms), (halves, theirs) = after(6), after(3, calls=2)
  assert jax.tree.all(jax.tree.map(np.array_equal, whole, halves))
  np.testing.assert_array_equal(norms, theirs)
  assert int(whole.round) == 6


def test_meta_training_learns_to_learn():
  """New tasks, on new images, must be learned better from w than from where w began."""
  trained, norms = after(6, calls=40)
  assert held_out(start(), pool(1)).mean() < 0.75
  assert held_out(trained, pool(1)).mean() > 0.9
  assert norms.shape == (240,)
  assert np.isfinite(norms).all()
  assert np.all(norms > 0)


def test_meta_test_is_an_accuracy_for_each_task():
  """Shares of two query images, the same for the same key."""
  tested = held_out(start(), pool(1))
  assert tested.shape == (300,)
  assert set(tested.tolist()) == {0.0, 0.5, 1.0}
  np.testing.assert_array_equal(tested, held_out(start(), pool(1)))


def test_every_round_draws_other_tasks():
  """One task over and over would be learned by heart."""
  still = dataclasses.replace(TRAINING, learning_rate=0.0)
  state, norms = after(6, still)
  assert len(np.unique(norms)) == 6
  np.testing.assert_array_equal(flat(state), flat(start()))


def test_the_meta_learner_averages_what_it_receives():
  """The mean of T noises is smaller by sqrt(T): their sum, or the first, would not be."""
  sigma, learners = 100.0, TRAINING.tasks_per_round
  _, norms = after(3, defended(outgoing=sigma))
  expected = sigma * (flat(start()).size / learners) ** 0.5
  assert norms.mean() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize('point', Defence._fields)
def test_training_under_a_defence_is_another_training(point):
  """A model that was trained without its defence would be attacked in the wrong place."""
  noisy, plain = (flat(after(3, d)[0]) for d in (defended(**{point: 0.5}), TRAINING))
  assert np.isfinite(noisy).all()
  assert not np.allclose(plain, noisy, atol=1e-3)


def test_rates_and_scales_do_not_recompile():
  """A sweep over them compiles the scan once."""
  one = defended(outgoing=0.1)
  other = dataclasses.replace(defended(outgoing=0.2), inner=InnerLoop(1, 0.3))
  described = [one, other, dataclasses.replace(other, learning_rate=0.001)]
  after(3, one)
  before = len(traced)
  found = [flat(after(3, d)[0]) for d in described]
  assert len(traced) == before
  assert len(np.unique(found, axis=0)) == 3


@pytest.mark.parametrize('chunk', [3, 16])
def test_how_many_learners_are_computed_together_changes_nothing(chunk):
  """The chunk is there to fit the machine; a round takes all of its learners all the same."""
  one_by_one, _ = after(2, dataclasses.replace(TRAINING, chunk=1))
  together, _ = after(2, dataclasses.replace(TRAINING, chunk=chunk))
  difference = ravel_pytree(one_by_one.params)[0] - ravel_pytree(together.params)[0]
  assert jnp.abs(difference).max() < 1e-5
  assert (
    jnp.abs(ravel_pytree(one_by_one.params)[0] - ravel_pytree(start().params)[0]).max() > 0.01
  )


def test_meta_training_leaves_parameters_their_type():
  """A float32 rate for bfloat16 parameters, of either loop, failed in the scan."""
  params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), start().params)
  rate = jnp.float32(0.03)
  inner, noise = InnerLoop(1, rate), Defence(outgoing=Gaussian(rate))
  described = dataclasses.replace(
    TRAINING, inner=inner, defence=noise, learning_rate=rate, tasks_per_round=2
  )
  state, _ = train(training.init(params), pool(0), described, rounds=1)
  assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype(jnp.bfloat16)}


def test_what_diverges_has_no_norm_and_no_accuracy():
  """An adaptation may, though what it sends is finite; the argmax of NaN is class 0."""
  wild = dataclasses.replace(TRAINING, inner=InnerLoop(5, 3e38, order=1))
  tested = training.meta_test(KEY, start().params, pool(0), wild, tasks=4)
  np.testing.assert_array_equal(np.isnan(tested), [False, False, True, True])
  _, norms = training.train(KEY, start(), pool(0), wild, rounds=1)
  assert np.isnan(norms).all()
