"""Of several first guesses the attack scores the one that ends with the least objective."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks import Candidate, Reconstruction
from mamljax.images import ssim
from tests.attacks.linear import SIZE, WAYS, knowledge, noise, observed

RESTARTS = (1, 2, 4)
KEYS = 8  # attacks, half of them with a member


@functools.cache
def played(restarts: int):
  """Scores and Infos of the same attacks with so many first guesses."""
  known = knowledge()
  seen = observed(jnp.arange(SIZE) % WAYS, known)
  chosen = Reconstruction(iterations=6, restarts=restarts)

  @jax.jit
  def attack(keys: jax.Array, images: jax.Array):
    def one(key, image):
      candidate = Candidate(image, jnp.array(0))
      return chosen.score(key, known, seen, candidate)

    return jax.lax.map(lambda drawn: one(*drawn), (keys, images))

  keys = jax.random.split(jax.random.key(0), KEYS)
  return attack(keys, candidates())


def candidates() -> jax.Array:
  """A member and a non-member in turn."""
  return jnp.stack([noise(1)[0], noise(3)[0]] * (KEYS // 2))


def last_losses(restarts: int) -> np.ndarray:
  return np.asarray(played(restarts)[1].losses[:, -1])


def test_more_first_guesses_never_end_higher():
  """The first guesses of fewer restarts are among those of more: the least can only fall."""
  ends = np.array([last_losses(restarts) for restarts in RESTARTS])
  assert (np.diff(ends, axis=0) < 1e-6).all()
  # And it does fall: else the first would always be taken, whatever the others find.
  assert (ends[-1] < ends[0] - 1e-5).sum() > KEYS / 4


def test_a_further_guess_is_scored_exactly_if_it_ends_lower():
  """Judging by anything else, the score or the start, would use what the adversary lacks."""
  for fewer, more in itertools.pairwise(RESTARTS):
    (_, before), (_, after) = played(fewer), played(more)
    same = np.isclose(before.losses, after.losses, atol=1e-6).all(axis=1)
    lower = last_losses(more) < last_losses(fewer) - 1e-6
    np.testing.assert_array_equal(same, ~lower)
    np.testing.assert_allclose(before.images[same], after.images[same], atol=1e-5)


def test_what_is_scored_is_what_is_shown():
  """The score of one restart beside the picture of another would explain nothing."""
  scores, info = played(RESTARTS[-1])
  assert scores.shape == (KEYS,)
  assert info.losses.shape == (KEYS, 6)
  np.testing.assert_allclose(scores, ssim(candidates(), info.reconstruction), atol=1e-6)
  np.testing.assert_array_equal(info.reconstruction, info.images[:, 0])
