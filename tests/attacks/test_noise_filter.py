"""A filter that knows the noise: the best that a Gaussian model allows, and no more."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mamljax.attacks import Candidate, NoiseFilter
from mamljax.audit.metrics import auc
from mamljax.defences import Defence, Gaussian
from mamljax.errors import InputError
from mamljax.types import Batch
from tests.attacks import linear
from tests.attacks.closed_form import (
  MEMBERS,
  TRIALS,
  convolutional,
  references,
  scores,
  seen_defended,
  small,
  trials,
)

LOUD = {
  'outgoing': Defence(outgoing=Gaussian(jnp.float32(0.006))),
  'query': Defence(query=Gaussian(jnp.float32(0.25))),
}
EACH = 30  # references of each class, of noise


def knowledge(defence):
  """Of a small convolutional network of learners that defend themselves."""
  return dataclasses.replace(convolutional(), defence=defence)


@functools.cache
def seen(name: str):
  """Observations of learners that defend themselves."""
  return seen_defended(LOUD[name], target='query', requires=frozenset({'classes'}))


def score(defence, observations):
  """Scores of an adversary who believes in a defence."""
  candidates = trials('query')[0].candidate
  found = scores(small(NoiseFilter), knowledge(defence), observations, candidates)
  return np.asarray(found[0])


@pytest.mark.parametrize('name', LOUD)
def test_noise_that_hides_from_a_filter_does_not_hide_from_one_that_knows_it(name):
  """Positive control: else a defence would seem to protect, for want of a better attack."""
  aware, unaware = (auc(score(told, seen(name)), MEMBERS) for told in (LOUD[name], None))
  assert aware is not None
  assert unaware is not None
  assert aware > 0.93
  assert unaware < aware - 0.05


@pytest.mark.parametrize('name', LOUD)
def test_the_noisy_gradient_of_another_task_says_nothing(name):
  """Null control: it must not find members in noise that it expects."""
  rolled = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), seen(name))
  chance = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5
  found = auc(score(LOUD[name], rolled), MEMBERS)
  assert found == pytest.approx(0.5, abs=chance)


def test_more_noise_than_anything_leaves_nothing():
  """The ratio of what is certain to be hidden is 0: it claims no more than there is."""
  drowned = Defence(outgoing=Gaussian(jnp.float32(1e6)))
  np.testing.assert_allclose(score(drowned, seen('outgoing')), 0, atol=1e-4)


@functools.cache
def noise_task():
  """Softmax regression on noise images, whose gradients are few enough to write down."""
  random = np.random.default_rng(3)
  pool = references()
  images = random.integers(0, 256, (10 * EACH, *linear.SHAPE), dtype=np.uint8)
  starts = jnp.arange(10, dtype=jnp.int32) * EACH
  public = pool._replace(
    images=jnp.asarray(images), starts=starts, counts=jnp.full(10, EACH, jnp.int32)
  )
  defence = Defence(outgoing=Gaussian(jnp.float32(0.1)))
  known = dataclasses.replace(linear.knowledge(), references=public, defence=defence, shots=2)
  return known, images


def dense(known, images):
  """The gradients of all references under each label, [classes, each, ways, size], float64."""

  def one(image, label):
    own = jax.grad(known.loss_fn)(known.params, Batch(image[None], label[None]))
    return ravel_pytree(own)[0]

  each = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
  found = each(jnp.asarray(images, jnp.float32) / 255, jnp.arange(linear.WAYS))
  return np.asarray(found, np.float64).reshape(10, EACH, linear.WAYS, -1)


def test_the_ratio_is_that_of_the_covariance_written_down():
  """An oracle in NumPy, double precision: with all directions kept nothing is approximate."""
  known, images = noise_task()
  size = ravel_pytree(known.params)[0].size
  attack = NoiseFilter(directions=size)
  prepared = attack.prepare(jax.random.key(0), known)
  classes, labels = jnp.array([4, 1, 7]), jnp.arange(6) % 3
  observation = linear.observed(labels, known)._replace(classes=classes)
  candidate = Candidate(linear.noise(1)[2], labels[2])
  found, info = attack.score(jax.random.key(1), prepared, observation, candidate)

  gradients = dense(known, images)
  means = gradients.mean(axis=1)
  apart = (gradients - means[:, None]).reshape(-1, size)
  covariance = apart.T @ apart / (10 * (EACH - 1) * linear.WAYS)
  variance = np.diag(covariance) + 6 * 0.1**2
  # What the directions leave of each number's variance is noise, all of it here.
  whole = covariance + np.diag(np.maximum(variance - np.diag(covariance), 1e-3 * variance))
  own = Batch(candidate.image[None], candidate.label[None])
  single = np.asarray(ravel_pytree(jax.grad(known.loss_fn)(known.params, own))[0], np.float64)
  expected = means[np.asarray(classes), np.arange(3)]
  signal = single - expected[2]
  received = np.asarray(ravel_pytree(observation.gradient)[0], np.float64)
  whitened = np.linalg.solve(whole, signal)
  response, energy = whitened @ (received - expected.mean(axis=0)), whitened @ signal
  np.testing.assert_allclose(info.energy, energy, rtol=2e-3)
  np.testing.assert_allclose(found, response - energy / 12, rtol=5e-3, atol=2e-3 * energy)


def test_noise_of_unknown_size_is_refused():
  """It would be left out, and everything taken for certain."""

  def hook(key, value):
    del key
    return value

  known = dataclasses.replace(noise_task()[0], defence=Defence(outgoing=hook))
  with pytest.raises(InputError, match='the strength of function noise is not known'):
    NoiseFilter(directions=4).prepare(jax.random.key(0), known)


def test_the_classes_and_references_must_be_known():
  """In words, not as an index out of bounds."""
  known, _ = noise_task()
  attack, key = NoiseFilter(directions=4), jax.random.key(0)
  with pytest.raises(ValueError, match='references'):
    attack.prepare(key, dataclasses.replace(known, references=None))
  prepared = attack.prepare(key, known)
  labels = jnp.arange(6) % 3
  observation = linear.observed(labels, known)
  candidate = Candidate(linear.noise(1)[0], labels[0])
  with pytest.raises(ValueError, match='ways and shots'):
    attack.prepare(key, dataclasses.replace(known, shots=0))
  with pytest.raises(ValueError, match='classes'):
    attack.score(key, prepared, observation, candidate)
