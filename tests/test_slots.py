"""Labels past the outputs of a model are found by the gradient, and refused at the doors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import (
  Batch,
  InnerLoop,
  InputError,
  Knowledge,
  Pool,
  Task,
  audit_tasks,
  from_arrays,
  meta_gradient,
  play,
  sample_task,
)
from mamljax.attacks import MatchedFilter
from mamljax.attacks.base import needs_of
from mamljax.slots import missing_slot

KEY, OUTPUTS = jax.random.key(0), 3
IMAGES = jax.random.normal(KEY, (6, 2, 2, 1))
PARAMS = {'weights': jax.random.normal(KEY, (4, OUTPUTS)), 'bias': jnp.zeros(OUTPUTS)}
INNER = InnerLoop(1, 0.1)


def logits(params, batch):
  """A linear model of three outputs."""
  return batch.images.reshape(len(batch.labels), -1) @ params['weights'] + params['bias']


def filled(params, batch):
  """NaN for a label past the outputs."""
  found = logits(params, batch)
  return optax.softmax_cross_entropy_with_integer_labels(found, batch.labels).mean()


def one_hot(params, batch):
  """0 for a label past the outputs."""
  odds = jax.nn.log_softmax(logits(params, batch))
  return -jnp.mean(jnp.sum(odds * jax.nn.one_hot(batch.labels, OUTPUTS), axis=1))


def clamped(params, batch):
  """The loss of the last output, for a label past it."""
  odds = jax.nn.log_softmax(logits(params, batch))
  return -jnp.mean(jax.vmap(lambda row, label: row[label])(odds, batch.labels))


def blind(params, batch):
  """A loss that looks at no label."""
  return jnp.mean(logits(params, batch) ** 2)


LOSSES = [filled, one_hot, clamped]


@pytest.mark.parametrize('loss_fn', LOSSES)
@pytest.mark.parametrize('params', [PARAMS, jax.tree.map(jnp.zeros_like, PARAMS)])
def test_the_first_missing_slot_is_found(loss_fn, params):
  """A label past the outputs is seen in every form of the loss, and at zero weights, too."""
  assert missing_slot(loss_fn, params, IMAGES, labels=range(6)) == OUTPUTS
  assert missing_slot(loss_fn, params, IMAGES, labels=range(OUTPUTS)) is None


def test_what_tells_nothing_is_let_pass():
  """A loss without labels, a model that broke, and what is traced."""
  broken = jax.tree.map(lambda x: x * jnp.nan, PARAMS)
  assert missing_slot(blind, PARAMS, IMAGES, labels=range(6)) is None
  assert missing_slot(filled, broken, IMAGES, labels=range(6)) is None
  traced = []
  jax.jit(lambda p: traced.append(missing_slot(filled, p, IMAGES, labels=range(6))))(PARAMS)
  assert traced == [None]


@pytest.mark.parametrize('loss_fn', LOSSES)
def test_labels_from_one_on_are_refused(loss_fn):
  """They passed in silence, and the last class was no class or another's."""
  labels = jnp.arange(6) % OUTPUTS
  good, off = Batch(IMAGES, labels), Batch(IMAGES, labels + 1)
  meta_gradient(loss_fn, PARAMS, Task(good, good), INNER)
  with pytest.raises(InputError, match=r'labels must be in 0..2, .* not 3: they begin at 1'):
    meta_gradient(loss_fn, PARAMS, Task(off, off), INNER)
  some = Batch(IMAGES[:4], jnp.array([1, 2, 1, 2]))
  meta_gradient(loss_fn, PARAMS, Task(some, some), INNER)


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    ([-1, 0], '0 or more, not -1'),
    ([0.0, np.nan], 'finite, not nan'),
  ],
)
def test_labels_that_are_none_are_refused(labels, message):
  """-1 is the last class to NumPy."""
  batch = Batch(IMAGES[:2], jnp.array(labels))
  with pytest.raises(InputError, match=f'support labels must be {message}'):
    meta_gradient(filled, PARAMS, Task(batch, batch), INNER)


def data():
  """Five classes."""
  images = np.random.default_rng(0).normal(size=(150, 2, 2, 1)).astype('float32')
  return from_arrays(images, np.arange(150) % 5)


def test_more_ways_than_outputs_are_refused_at_every_door():
  """`matched_filter` with 5 ways of a model of 3 scored -809588."""
  pools, message = data(), 'ways must be at most 3, the outputs of the model, not 5'
  options = {'references': pools.references, 'ways': 5, 'shots': 1}
  known = Knowledge(one_hot, PARAMS, INNER, **options)
  with pytest.raises(InputError, match=message):
    play(KEY, pools.victims, known, attack=MatchedFilter(), trials=4)
  with pytest.raises(InputError, match=message):
    MatchedFilter().prepare(KEY, known)
  with pytest.raises(InputError, match=message):
    audit_tasks(one_hot, PARAMS, pools, INNER, ways=5, shots=1)
  with pytest.raises(InputError, match='ways of the knowledge must be 1 or more, not 0'):
    play(
      KEY, pools.victims, Knowledge(one_hot, PARAMS, INNER), attack=MatchedFilter(), trials=4
    )


def counted(counts) -> Pool:
  """Images that say their class."""
  counts = np.asarray(counts)
  pixels = np.repeat(np.arange(len(counts)), counts).reshape(-1, 1, 1, 1).astype('uint8')
  return Pool(*map(jnp.asarray, (pixels, np.cumsum(counts) - counts, counts)))


def test_a_class_too_small_gives_no_image_of_the_next_in_a_program():
  """Of 50 images of each class 30 shots took 10 of the next, with the labels of this one."""
  draw = jax.jit(
    lambda pool, shots: sample_task(KEY, pool, ways=2, shots=shots), static_argnums=1
  )
  with pytest.raises(InputError, match='60 different images of each class are needed'):
    draw(pool=counted([50, 50]), shots=30)
  task = draw(pool=counted([50, 90]), shots=30)
  support = np.asarray(task.support.images).reshape(2, 30)
  is_lost = np.isnan(support).all(axis=1)
  assert is_lost.sum() == 1
  np.testing.assert_allclose(255 * support[~is_lost], 1, rtol=1e-6)


def test_a_target_is_refused_by_its_name():
  """'queries' was the support set to one attack, and the query set to another."""
  with pytest.raises(InputError, match="unknown target 'queries': did you mean 'query'"):
    needs_of(MatchedFilter(), 'queries')
