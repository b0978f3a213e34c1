"""A loss that is no mean over images is noticed, whatever else it is, at every public door."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mamljax
from mamljax import InnerLoop, InputError, Knowledge
from mamljax.reports.averaging import is_mean_over_images
from tests.reports import small
from tests.reports.test_audit_update import private, public

INNER = InnerLoop(1, 0.1)


def each(params, batch):
  """The loss of each image."""
  logits = batch.images.reshape(len(batch.labels), -1) @ params['weights'] + params['bias']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)


def decay(params):
  """A weight decay, which is no part of the mean."""
  return 0.1 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


def normalised(params, batch):
  """A mean over images that see each other."""
  images = batch.images - batch.images.mean(axis=0)
  return each(params, batch._replace(images=images)).mean()


def contrastive(params, batch):
  """A loss of pairs, which grows with their number as no sum does."""
  features = batch.images.reshape(len(batch.labels), -1) @ params['weights']
  return jax.nn.logsumexp(features @ features.T)


def audit_tasks(loss_fn):
  """The door to an audit of tasks."""
  data, sizes = small.world(), dict[str, Any](ways=small.WAYS, shots=1, trials=4)
  mamljax.audit_tasks(loss_fn, small.params(), data, INNER, attacks='loss', **sizes)


def audit_update(loss_fn):
  """The door to an audit of one update."""
  task, _ = private(0)
  told = {'public': public(), 'learner': INNER, 'attack': 'loss', 'fpr': 0.1}
  mamljax.audit_update(loss_fn, small.params(), small.params(), task.query, **told)


def play(loss_fn):
  """The door to the game."""
  known = Knowledge(loss_fn, small.params(), INNER, ways=small.WAYS, shots=1)
  loss = mamljax.ATTACKS['loss']()
  mamljax.play(jax.random.key(0), small.world().victims, known, attack=loss, trials=4)


@pytest.mark.parametrize('door', [audit_tasks, audit_update, play])
@pytest.mark.parametrize(
  ('loss_fn', 'message'),
  [
    (each, r'not \[4\] of 4 images, one for each image: take .mean\(\)$'),
    (lambda w, batch: each(w, batch)[:1], r'not \[1\] of 4 images$'),
    (lambda w, batch: (each(w, batch).mean(), 0), 'one number alone, not a tuple'),
  ],
  ids=['vector', 'array of one', 'with extras'],
)
def test_a_loss_of_several_numbers_is_refused(door, loss_fn, message):
  """JAX says it in its own words, from deep within."""
  with pytest.raises(InputError, match=message):
    door(loss_fn)


@pytest.mark.parametrize('door', [audit_tasks, audit_update])
@pytest.mark.parametrize(
  'loss_fn',
  [
    lambda w, batch: each(w, batch).sum(),
    lambda w, batch: each(w, batch).sum() / 32,
    lambda w, batch: each(w, batch).sum() + decay(w),
    lambda w, batch: each(w, batch).sum() / jnp.sqrt(len(batch.labels)),
    lambda w, batch: len(batch.labels) * normalised(w, batch),
  ],
  ids=['sum', 'sum over a constant', 'sum with decay', 'root', 'sum of a normalised batch'],
)
def test_a_loss_that_grows_with_the_batch_is_refused(door, loss_fn):
  """The strongest attacks would be skipped, and the report say that little leaks."""
  with pytest.raises(InputError, match='must return the mean over the batch: of one image'):
    door(loss_fn)


@pytest.mark.parametrize(
  ('loss_fn', 'is_mean'),
  [
    (small.loss_fn, True),
    (lambda w, batch: 1e-6 * small.loss_fn(w, batch), True),
    (lambda w, batch: 100 * small.loss_fn(w, batch) + decay(w), True),
    (lambda w, batch: 0 * small.loss_fn(w, batch), True),
    (normalised, False),
    (contrastive, False),
  ],
  ids=['mean', 'small', 'weighted', 'zero', 'normalised', 'contrastive'],
)
def test_other_losses_are_not_refused(loss_fn, is_mean):
  """A factor that all images have is part of the loss, and images may see each other."""
  pool = small.world().references
  assert is_mean_over_images(loss_fn, small.params(), pool, ways=small.WAYS) is is_mean


@pytest.mark.parametrize('each_image', [True, False])
def test_a_loss_of_zero_to_rounding_is_no_sum(each_image):
  """A model that is sure of all images has losses that differ by rounding alone."""

  def sure(params, batch):
    noise = jnp.sin(1e4 * jnp.arange(len(batch.labels))) * 1e-7
    return (each(params, batch) + 10 + noise).mean() - 10 * each_image

  assert np.isfinite(sure(small.params(), private(0)[0].query))
  pool = small.world().references
  assert is_mean_over_images(sure, small.params(), pool, ways=small.WAYS)


def test_a_sum_is_the_mean_with_a_greater_rate():
  """The message says so: a learner of sums is declared exactly, and none is turned away."""
  task, _ = private(0)
  count = len(task.query.labels)

  def summed(params, batch):
    return each(params, batch).sum()

  own = mamljax.meta_gradient(summed, small.params(), task, InnerLoop(2, 0.01))
  said = mamljax.meta_gradient(small.loss_fn, small.params(), task, InnerLoop(2, 0.01 * count))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, count * b, atol=1e-4), own, said)
