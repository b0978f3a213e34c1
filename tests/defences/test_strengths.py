"""Defences at no strength and at a great one: all is told, and nothing is.

The adversary knows both tasks that a message may be of, and compares it along the direction in
which they differ without a defence.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.audit.metrics import auc
from mamljax.defences import Aggregate, Defence, DPExamples, DPGaussian, Gaussian
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Task
from tests.defences.test_dp_examples import squares

TRIALS, COUNT, SIZE = 400, 4, 6
MEMBERS = np.arange(TRIALS) % 2 == 0
CHANCE = 4 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5
KEYS = jax.random.split(jax.random.key(5), TRIALS)
IMAGES = jax.random.normal(jax.random.key(3), (2, COUNT, SIZE))
OTHER = jax.random.normal(jax.random.key(4), (SIZE,))
PARAMS = jax.random.normal(jax.random.key(6), (SIZE,))
LABELS = jnp.zeros(COUNT, int)
POINTS = {'support': 0, 'query': 1}  # of the image that is asked about
FAR = 1e6  # a clip that nothing reaches


def message(key: jax.Array, images: jax.Array, defence: Defence) -> jax.Array:
  """The message of a first-order learner on images [2, n, features]."""
  task = Task(*(Batch(each, LABELS) for each in images))
  learner = Learner(1, 0.3, sends='fomaml', defence=defence)
  return send_gradient(key, squares, PARAMS, task, learner)


@jax.jit
def scores(defence: Defence, point: jax.Array) -> jax.Array:
  """The scores of an adversary of a message in all trials."""
  pair = IMAGES, IMAGES.at[point, 0].set(OTHER)
  clean = [message(KEYS[0], images, Defence()) for images in pair]
  along = clean[0] - clean[1]

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    sent = message(key, jnp.where(member, *pair), defence)
    return along @ (sent - (clean[0] + clean[1]) / 2)

  return jax.vmap(one)(KEYS, jnp.asarray(MEMBERS))


def noises(**strength: float) -> Defence:
  """Noise at all points and a mechanism, each of no strength where none is given."""
  numbers = {'support': 0.0, 'inner': 0.0, 'query': 0.0, 'clip': FAR, 'noise': 0.0} | strength
  told: Any = {name: jnp.float32(number) for name, number in numbers.items()}
  plain: Any = {name: Gaussian(told[name]) for name in ('support', 'inner', 'query')}
  return Defence(**plain, outgoing=DPGaussian(told['clip'], told['noise']))


def mechanisms(**strength: float) -> Defence:
  """Mechanisms on single examples: in the steps, and in what is sent."""
  numbers = {'inner': FAR, 'inner_noise': 0.0, 'clip': FAR, 'noise': 0.0} | strength
  told: Any = {name: jnp.float32(number) for name, number in numbers.items()}
  steps = DPExamples(told['inner'], told['inner_noise'])
  return Defence(inner=steps, outgoing=DPExamples(told['clip'], told['noise']))


GREAT = [
  ('support', noises(support=1e4)),
  ('support', noises(inner=1e6)),
  ('query', noises(query=1e4)),
  ('support', noises(clip=0.1, noise=1e4)),
  ('query', noises(clip=0.1, noise=1e4)),
  ('support', mechanisms(inner=0.1, inner_noise=1e6)),
  ('query', mechanisms(clip=0.1, noise=1e4)),
]


@pytest.mark.parametrize('make', [noises, mechanisms])
@pytest.mark.parametrize('point', POINTS)
def test_no_strength_is_no_defence(make, point):
  """The undefended numbers: else a sweep would begin at another learner than it names."""
  exact = scores(Defence(), POINTS[point])
  np.testing.assert_allclose(scores(make(), POINTS[point]), exact, rtol=1e-4)
  assert auc(np.asarray(exact), MEMBERS) == 1.0


@pytest.mark.parametrize(('point', 'defence'), GREAT)
def test_a_great_strength_leaves_chance(point, defence):
  """Else there is another way to the message than the one that is defended."""
  found = np.asarray(scores(defence, POINTS[point]))
  assert auc(found, MEMBERS) == pytest.approx(0.5, abs=CHANCE)


def mean_image(params: jax.Array, batch: Batch, /) -> jax.Array:
  """A loss whose gradient is the mean of images."""
  return jnp.mean(batch.images @ params)


def among(images: int, learners: int) -> float:
  """The AUC of an image in a sum of learners of so many images, of which no other is known."""

  @jax.jit
  @jax.vmap
  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    keys = jax.random.split(key)
    drawn = jax.random.normal(keys[0], (learners, images, SIZE))
    labels = jnp.zeros((learners, images), int)
    sets = Batch(drawn.at[0, 0].set(jnp.where(member, OTHER, drawn[0, 0])), labels)
    tasks = Task(sets, sets)
    first, others = (jax.tree.map(lambda x, i=i: x[i], tasks) for i in (0, slice(1, None)))
    told: Any = {'defence': Defence(outgoing=Aggregate(learners))}
    told['others'] = others if learners > 1 else None
    return OTHER @ send_gradient(key, mean_image, PARAMS, first, InnerLoop(1, 0.1), **told)

  return float(auc(np.asarray(one(KEYS, jnp.asarray(MEMBERS))), MEMBERS) or 0)


def test_larger_sets_and_sums_hide_one_image_among_many():
  """The two defences without noise: as much of either hides as much, and few hide nothing."""
  assert among(1, 1) > 0.9
  assert among(3000, 1) == pytest.approx(0.5, abs=CHANCE)
  assert among(1, 3000) == pytest.approx(0.5, abs=CHANCE)
