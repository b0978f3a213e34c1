"""A published defence: what an adversary makes of it, and the support filter that does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import curvature_filter
from mamljax.attacks.known_noise import DRAWS, draws, hooks, variance_sent
from mamljax.attacks.shadows import solve_ridged
from mamljax.attacks.sketches import make_sketch
from mamljax.audit.game import observe
from mamljax.audit.metrics import auc
from mamljax.defences import Defence, Gaussian
from tests.attacks.closed_form import (
  MEMBERS,
  TRIALS,
  convolutional,
  options_of,
  scores,
  trials,
)

LOUD = {
  'outgoing': Defence(outgoing=Gaussian(jnp.float32(3e-5))),
  'everywhere': Defence(*(Gaussian(jnp.float32(scale)) for scale in (0.1, 0.03, 0.03, 1e-5))),
}
QUIET = Defence(query=Gaussian(jnp.float32(0.1)))


@functools.cache
def seen(name: str):
  """What is seen of learners that defend themselves, each with noise of its own."""
  known, defence = convolutional(), LOUD[name]
  assert known.inner is not None

  def one(key, task, classes):
    return observe(
      key,
      known.loss_fn,
      known.params,
      task,
      known.inner,
      defence=defence,
      classes=classes,
      requires=frozenset({'classes', 'query_set'}),
    )

  played, classes = trials('support')
  keys = jax.random.split(jax.random.key(4), TRIALS)
  return jax.jit(jax.vmap(one))(keys, played.task, classes)


def found(name: str, defence: Defence | None) -> float:
  """The AUC of who believes in a defence against learners that have that of this name."""
  known = dataclasses.replace(convolutional(), defence=defence)
  candidates = trials('support')[0].candidate
  options = options_of(curvature_filter, 'support')
  told = scores(curvature_filter, known, seen(name), candidates, options)[0]
  return auc(np.asarray(told), MEMBERS) or 0.5


@pytest.mark.parametrize('name', LOUD)
def test_who_knows_the_noise_finds_more(name):
  """Positive control: a defence is measured by the attack that allows for it."""
  aware = found(name, LOUD[name])
  assert aware > 0.8
  assert aware >= found(name, None) - 0.02


def test_noise_that_is_sent_is_what_the_filter_gains_by_knowing():
  """The rest of a gradient's spread hides it from who takes noise for an image."""
  assert found('outgoing', LOUD['outgoing']) > found('outgoing', None) + 0.1


def test_what_a_defence_does_where_it_does_nothing():
  """The identity, once; noise is drawn, and a mean is over draws of it."""
  known = dataclasses.replace(convolutional(), defence=QUIET)
  image = jnp.zeros((4, 4, 1))
  key = jax.random.key(0)
  np.testing.assert_array_equal(hooks(known).support(key, image), image)
  assert np.std(hooks(known).query(key, image)) == pytest.approx(0.1, rel=0.5)
  assert (draws(known, 'query'), draws(known, 'support')) == (DRAWS, 1)
  assert draws(convolutional(), 'query') == 1
  assert variance_sent(known) == 0


def test_the_noise_of_a_sketch():
  """Measured: the filter would be too sure or too shy by as much as this is wrong."""
  short = make_sketch(jax.random.key(0), jnp.array([1.0, 2.0, 0.5, 4.0, 1.0]), size=2)
  noise = jax.random.normal(jax.random.key(1), (20_000, 5))
  measured = np.var(jax.vmap(short)(noise), axis=0)
  np.testing.assert_allclose(short.unit_noise(), measured, rtol=0.05)


def test_each_number_has_a_ridge_of_its_own():
  """Noise is not the same in each."""
  random = np.random.default_rng(0)
  rows, vectors = random.normal(size=(4, 9)), random.normal(size=(2, 9))
  ridge = random.uniform(0.1, 2, size=9)
  expected = np.linalg.solve(rows.T @ rows + np.diag(ridge), vectors.T).T
  with jax.enable_x64(True):
    solved = solve_ridged(*map(jnp.asarray, (rows, vectors, ridge)))
  np.testing.assert_allclose(solved, expected, rtol=1e-9)
