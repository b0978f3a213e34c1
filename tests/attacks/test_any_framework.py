"""Scores are those of the function, whatever framework, names, nesting and order it has."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax.attacks import (
  Candidate,
  Knowledge,
  Observation,
  PatchSpace,
  RowSpace,
  SilentUnits,
)
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import threshold_of
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, LossFn, Params, Pool, Task
from tests import frameworks
from tests.frameworks import FRAMEWORKS, SHAPE, WAYS

ATTACKS = {
  'mlp': [RowSpace(), SilentUnits(), PatchSpace(neighbours=20)],
  'conv': [PatchSpace(neighbours=20), SilentUnits()],
}
INNER = InnerLoop(1, 0.05)
PER_CLASS = 20
THRESHOLD = threshold_of(RowSpace(), 'query') or 0.0


@functools.cache
def images() -> np.ndarray:
  """Blurred noise about a pattern of each class, bytes [ways, per class, ...]."""
  random = np.random.default_rng(0)
  classes = random.normal(size=(WAYS, 1, *SHAPE))
  noise = random.normal(size=(WAYS, PER_CLASS + 3, *SHAPE))
  mixed = classes + noise + np.roll(noise, 1, axis=2) + np.roll(noise, 1, axis=3)
  return np.asarray(255 / (1 + np.exp(-mixed)), np.uint8)


def play() -> tuple[Task, Candidate, Pool]:
  """A task of one image a class in each set; a query, a support and another image; a pool."""
  drawn = jnp.asarray(images()[:, :3], jnp.float32) / 255
  labels = jnp.arange(WAYS)
  task = Task(Batch(drawn[:, 0], labels), Batch(drawn[:, 1], labels))
  asked = Candidate(drawn[0, jnp.array([1, 0, 2])], jnp.zeros(3, jnp.int32))
  public = jnp.asarray(images()[:, 3:].reshape(-1, *SHAPE))
  starts = PER_CLASS * jnp.arange(WAYS)
  return task, asked, Pool(public, starts, jnp.full(WAYS, PER_CLASS))


def scores(loss_fn: LossFn, params: Params, kind: str) -> np.ndarray:
  """The scores of all attacks on a query, a support and another image, [attacks, 3]."""
  task, asked, pool = play()

  @jax.jit
  def played(params: Params) -> jax.Array:
    gradient = meta_gradient(loss_fn, params, task, INNER)
    seen = Observation(
      gradient, task.support.labels, task.query.labels, classes=jnp.arange(WAYS)
    )
    known = Knowledge(loss_fn, params, INNER, pool, ways=WAYS, shots=1)
    return jnp.stack([each(attack, known, seen) for attack in ATTACKS[kind]])

  def each(attack: Any, known: Knowledge, seen: Observation) -> jax.Array:
    prepared = attack.prepare(jax.random.key(1), known)
    return jax.vmap(lambda one: attack.score(jax.random.key(2), prepared, seen, one)[0])(asked)

  return np.asarray(played(params))


@functools.cache
def wanted(kind: str) -> np.ndarray:
  return scores(*frameworks.make('linen', kind), kind)


@pytest.mark.parametrize('framework', FRAMEWORKS)
@pytest.mark.parametrize('kind', ATTACKS)
def test_every_framework_gives_the_same_scores(framework, kind):
  """An Equinox network's row space was refused, a flax.linen convolution's patches not seen."""
  found = scores(*frameworks.make(framework, kind), kind)
  # Of what lies in the span exactly, only rounding is outside, a hundred deviations away.
  found, expected = (np.minimum(part, 100) for part in (found, wanted(kind)))
  largest = np.maximum(np.abs(expected).max(axis=1, keepdims=True), 1e-9)
  np.testing.assert_allclose(found / largest, expected / largest, atol=1e-3)


def test_the_row_space_tells_members_in_any_case():
  """Scores that agree might all say nothing."""
  query, support, other = wanted('mlp')[0]
  assert min(query, support) > THRESHOLD > -0.1 > other


def test_the_row_space_of_three_steps_of_adam_in_equinox():
  """It was refused there, and without it the best attack found 77 %; renamed, all of them."""
  (loss_fn, params), (task, asked, _) = frameworks.make('equinox'), play()
  learner = Learner(3, optax.adam(0.01))
  gradient = jax.jit(meta_gradient, static_argnums=(0, 3))(loss_fn, params, task, learner)
  seen = Observation(gradient, task.support.labels, task.query.labels)
  known, attack = Knowledge(loss_fn, params), RowSpace()

  @jax.jit
  @jax.vmap
  def score(one: Candidate) -> jax.Array:
    return attack.score(jax.random.key(2), known, seen, one)[0]

  query, _, other = score(asked)
  assert query > THRESHOLD > -0.1 > other


def test_patches_are_those_of_the_convolutions():
  """Of the last layer alone, a member of six images is not told from others."""
  query, _, other = wanted('conv')[0]
  assert query > other + 1


def test_what_cannot_be_seen_is_said_by_name():
  """An attack that does not run is no protection: the reason names the weights."""
  loss_fn, params = frameworks.make('equinox', 'conv')
  why = inapplicable(RowSpace(), Knowledge(loss_fn, params), SHAPE)
  assert why == (
    "attack 'row_space' needs a network whose first layer is fully connected, such as 'mlp': "
    "'layers/0/weight' sees 16 parts of an image"
  )

  def decayed(params: Params, batch: Batch, /) -> jax.Array:
    return loss(params, batch) + 1e-3 * sum(
      jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)
    )

  loss, params = frameworks.make('haiku')
  why = inapplicable(RowSpace(), Knowledge(decayed, params), SHAPE) or ''
  assert "the weights 'mlp/~/linear_0/w' also enter" in why


def normalised(params: Params, batch: Batch, /) -> jax.Array:
  """A network on standardised pixels."""
  flat = (batch.images.reshape(len(batch.images), -1) - 0.13) / 0.3
  return frameworks.make('dict')[0](params, batch._replace(images=flat))


def test_the_row_space_of_normalised_images_is_exact():
  """Raw pixels are in no span of a layer that sees normalised ones: it said "no member"."""
  found = scores_of_row_space(normalised, frameworks.make('dict')[1])
  assert min(found[:2]) > THRESHOLD > -0.1 > found[2]


def scores_of_row_space(loss_fn: LossFn, params: Params) -> np.ndarray:
  task, asked, _ = play()

  @jax.jit
  def played(params: Params) -> jax.Array:
    gradient = meta_gradient(loss_fn, params, task, INNER)
    seen = Observation(gradient, task.support.labels, task.query.labels)
    known, key = Knowledge(loss_fn, params), jax.random.key(2)
    return jax.vmap(lambda one: RowSpace().score(key, known, seen, one)[0])(asked)

  return np.asarray(played(params))
