"""Divergence is never privacy: every attack says NaN, which decides nothing.

And a learner that does not adapt is no divergence, but the baseline in which a support set says
nothing: every attack has a score.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import (
  ATTACKS,
  Attack,
  BaseAttack,
  Candidate,
  CurvatureFilter,
  Info,
  Knowledge,
  Loss,
  MatchedFilter,
  Observation,
  PatchSpace,
  ResidualFilter,
  RowSpace,
  ShadowMatchedFilter,
)
from mamljax.attacks.base import guarded
from mamljax.attacks.gaussian.likelihood import log_likelihood_ratio
from mamljax.attacks.gaussian.shadows import about_mean
from mamljax.attacks.gaussian.sketches import make_sketch
from mamljax.audit.game import observe
from mamljax.defences import Defence
from mamljax.errors import InputError
from mamljax.linear_algebra import low_rank_plus_diagonal, make_whitener
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params
from mamljax.recovery import recover_images
from mamljax.types import Batch, Pool, Task

WAYS, CLASSES, EACH, SHAPE = 2, 3, 2, (11, 11, 1)
SMALL = {'shadows': 2, 'swaps': 2, 'sketch': 16, 'neighbours': 2}
BY_SHADOWS = [ShadowMatchedFilter, CurvatureFilter, ResidualFilter]


class Tiny(nn.Module):
  """A hidden layer of ReLUs."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    hidden = nn.relu(nn.Dense(8)(images.reshape(len(images), -1)))
    return nn.Dense(WAYS)(hidden)


LOSS = CrossEntropy(Tiny())


def small(kind: Any, **chosen: Any) -> Any:
  """An attack with options that cost next to nothing."""
  has = {field.name for field in dataclasses.fields(kind)}
  least = {name: value for name, value in SMALL.items() if name in has}
  return kind(**least | chosen)


@functools.cache
def knowledge(target: str = 'query', steps: int = 1, rate: float = 0.1) -> Knowledge:
  """Of all attacks together, of a network of random weights and two images of noise a class."""
  params = init_params(jax.random.key(0), LOSS.network, SHAPE)
  pixels = np.random.default_rng(0).integers(0, 256, (CLASSES * EACH, *SHAPE), np.uint8)
  pool = Pool(jnp.asarray(pixels), jnp.arange(CLASSES) * EACH, jnp.full(CLASSES, EACH))
  inner = InnerLoop(steps, rate)
  return Knowledge(LOSS, params, inner, pool, Defence(), target=target, ways=WAYS)


@functools.cache
def played() -> tuple[Task, Candidate]:
  """A task of noise, and an image that is in neither set."""
  images, labels = jax.random.uniform(jax.random.key(1), (5, *SHAPE)), jnp.arange(WAYS)
  task = Task(Batch(images[:WAYS], labels), Batch(images[WAYS:4], labels))
  return task, Candidate(images[4], labels[1])


@jax.jit
def run(attack: Attack, known: Knowledge, seen: Observation, candidate: Candidate) -> jax.Array:
  prepared = attack.prepare(jax.random.key(2), known)
  return attack.score(jax.random.key(3), prepared, seen, candidate)[0]


@jax.jit
def send(known: Knowledge, task: Task) -> Observation:
  needs = frozenset({'query_set', 'classes'})
  told = {'defence': Defence(), 'classes': jnp.arange(WAYS), 'requires': needs}
  assert known.inner is not None
  return observe(jax.random.key(4), known.loss_fn, known.params, task, known.inner, **told)


def see(known: Knowledge) -> Observation:
  """The learner's message."""
  return send(known, played()[0])


def scored(kind: type[Attack], known: Knowledge, seen: Observation) -> float:
  """The score of the candidate."""
  return float(run(small(kind), known, seen, played()[1]))


def broken(tree: Any, bad: float) -> Any:
  """A pytree with one bad number in its last leaf."""
  *others, last = jax.tree.leaves(tree)
  leaves = [*others, last.at[(-1,) * last.ndim].set(bad)]
  return jax.tree.unflatten(jax.tree.structure(tree), leaves)


@pytest.mark.parametrize('kind', [RowSpace, PatchSpace, Loss])
def test_a_gradient_or_model_that_is_not_finite_was_called_private(kind):
  """One number of the last layer is enough. Columns that overflowed were replaced by 0, and
  `loss` never looked at the gradient.
  """
  known = knowledge()
  seen = see(known)
  assert np.isfinite(scored(kind, known, seen))
  for bad in (jnp.nan, jnp.inf, -jnp.inf):
    diverged = seen._replace(gradient=broken(seen.gradient, bad))
    assert np.isnan(scored(kind, known, diverged))
  model = dataclasses.replace(known, params=broken(known.params, jnp.nan))
  assert np.isnan(scored(kind, model, seen))


@pytest.mark.parametrize('name', ATTACKS)
def test_every_attack_refuses_what_diverged(name):
  """Its score is that of the one wrapper, whose word the next test takes."""
  score: Any = ATTACKS[name].score
  assert score.__code__ is guarded(score).__code__


def test_whatever_an_attack_says_of_what_diverged_is_no_decision():
  """Of w, or of the gradient, wherever its knowledge is kept; what is finite stays."""

  known = knowledge()
  seen, candidate = see(known), played()[1]
  kept = make_kept(known)
  bad = dataclasses.replace(known, params=broken(known.params, jnp.inf))
  off = seen._replace(gradient=broken(seen.gradient, jnp.nan))
  said = [
    Seven().score(jax.random.key(0), prepared, observed, candidate)
    for prepared, observed in ((known, seen), (kept, seen), (bad, seen), (known, off))
  ]
  np.testing.assert_array_equal([found for found, _ in said], [7, 7, np.nan, np.nan])
  assert {info for _, info in said} == {Info()}
  assert np.isnan(Seven().score(jax.random.key(0), make_kept(bad), seen, candidate)[0])


class Seven(BaseAttack):
  """An attack that always says the same."""

  @guarded
  def score(self, key, prepared, observation, candidate):
    del key, prepared, observation, candidate
    return jnp.float32(7), Info()


def make_kept(known: Knowledge) -> Any:
  """Something prepared that has its knowledge in a field."""
  return type('Prepared', (), {'knowledge': known})


def test_nothing_is_read_off_a_gradient_that_is_not_finite():
  """Columns that were not finite became 0, and images that were not found a defence."""
  known = knowledge()
  gradient = broken(see(known).gradient, jnp.nan)
  read = functools.partial(recover_images, shape=SHAPE, count=2, samples=4)
  read = functools.partial(read, loss_fn=known.loss_fn)
  found = jax.jit(read)(jax.random.key(0), params=known.params, gradient=gradient)
  assert np.isnan(found.images).all()
  assert np.isnan(found.outside).all()
  np.testing.assert_array_equal(found.silent, 0)


@pytest.mark.parametrize('kind', [ShadowMatchedFilter, CurvatureFilter])
def test_two_shadows_or_no_adaptation_ended_in_not_finite(kind):
  """Two shadows of two images may be alike, and without adaptation all are: nothing varies, and
  nothing is said. (`residual_filter`, slow to compile, has its own.)
  """
  known = knowledge('support')
  assert np.isfinite(scored(kind, known, see(known)))
  still = knowledge('support', rate=0.0)
  assert scored(kind, still, see(still)) == 0


def test_no_inner_step_was_refused_by_the_curvature_filter():
  """It is a natural baseline: no curvature bends the gradient."""
  still = knowledge('support', steps=0)
  assert scored(CurvatureFilter, still, see(still)) == 0
  with pytest.raises(InputError, match=r"one inner step of exact MAML, 'maml', not 2"):
    small(CurvatureFilter).prepare(jax.random.key(0), knowledge('support', steps=2))


def test_equal_rows_do_not_vary():
  """Their mean is off by rounding, and a spread of rounding is a scale to a whitener."""
  rows = jnp.tile(jax.random.normal(jax.random.key(0), (50,)), (301, 1))
  mean, apart = about_mean(rows)
  np.testing.assert_array_equal(mean, rows[0])
  assert not apart.any()
  varied = rows.at[7, 3].add(1e-3)
  mean, apart = about_mean(varied)
  expected = np.asarray(varied) - np.asarray(varied, np.float64).mean(axis=0)
  np.testing.assert_allclose(apart, expected, atol=1e-6)
  assert apart[:, 3].any()
  assert not apart[:, 4:].any()


def test_a_system_without_a_ridge_is_singular_and_one_of_nothing_says_nothing():
  """Told apart: 0 where nothing varies, NaN where what varies has no ridge, or an infinite one:
  what is divided by infinity would be a private 0.
  """
  random = np.random.default_rng(0)
  rows, signal, received = (
    jnp.asarray(random.normal(size=size), jnp.float32) for size in ((3, 8), 8, 8)
  )
  for matrix, ridge, found in ((0 * rows, 0.0, 0), (rows, 0.0, np.nan), (rows, np.inf, np.nan)):
    covariance = low_rank_plus_diagonal(matrix, ridge)
    ratio = log_likelihood_ratio(covariance, signal, received)
    np.testing.assert_array_equal(ratio.value, found)
  covariance = low_rank_plus_diagonal(rows, 0.1)
  assert np.isfinite(log_likelihood_ratio(covariance, signal, received).value)


def test_deviations_that_overflow_made_a_sketch_of_zeros():
  """A sketch of zeros says nothing of anything; NaN says that it cannot."""
  sketch = make_sketch(jax.random.key(0), jnp.array([1.0, jnp.inf, 2.0]), size=2)
  assert np.isnan(sketch(jnp.ones(3))).all()


@pytest.mark.parametrize('kind', BY_SHADOWS)
@pytest.mark.parametrize('value', [0, 0.0, -0.1, np.float32(0), np.nan])
def test_a_shrinkage_of_zero_made_every_score_nan(kind, value):
  """A covariance of fewer shadows than numbers is singular: refused by name."""
  with pytest.raises(InputError, match='shrinkage must be more than 0, not'):
    small(kind, shrinkage=value)


@pytest.mark.parametrize('kind', [MatchedFilter, PatchSpace])
def test_a_ridge_of_zero_is_refused_where_references_are_too_few(kind):
  """Found out by a trial, every score would be NaN."""
  prepare = functools.partial(small(kind, ridge=0.0).prepare, jax.random.key(0))
  with pytest.raises(InputError, match='ridge must be more than 0, not 0'):
    jax.eval_shape(prepare, knowledge())


def test_of_enough_samples_a_covariance_needs_no_ridge():
  """And one of nothing leaves things as they are, where its factor was NaN."""
  samples = np.random.default_rng(0).normal(size=(20, 4))
  covariance = jnp.asarray(np.cov(samples, rowvar=False), jnp.float32)
  whitener = make_whitener(covariance, 0.0, freedom=19)
  np.testing.assert_allclose(whitener @ covariance @ whitener.T, np.eye(4), atol=1e-5)
  np.testing.assert_array_equal(make_whitener(0 * covariance, 0.1, freedom=19), np.eye(4))
