"""A model of a user's own, as `--model` names it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import mamljax

SIDE, CLASSES, WAYS = 8, 4, 3


def loss_fn(params, batch):
  """Cross-entropy of a network of two layers, the mean over the batch."""
  hidden = jax.nn.relu(
    batch.images.reshape(len(batch.images), -1) @ params['w1'] + params['b1']
  )
  logits = hidden @ params['w2'] + params['b2']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def make():
  """The loss and the parameters."""
  first, second = jax.random.split(jax.random.key(0))
  return loss_fn, {
    'w1': jax.random.normal(first, (SIDE**2, 32)) / SIDE,
    'b1': jnp.zeros(32),
    'w2': jax.random.normal(second, (32, WAYS)) / 32**0.5,
    'b2': jnp.zeros(WAYS),
  }


def make_with_learner():
  """The same with a learner that flags cannot describe."""
  return *make(), mamljax.Learner(2, optax.rmsprop(0.01))


def make_with_a_name():
  """A mistake: a learner by its name."""
  return *make(), 'adam'


def make_nothing():
  """A mistake."""
  return loss_fn


def examples(*, count):
  """Noisy copies of a picture for each class, and their labels."""
  random = np.random.default_rng(0)
  labels = np.repeat(np.arange(CLASSES), count)
  pictures = random.uniform(size=(CLASSES, SIDE, SIDE, 1))[labels]
  noisy = np.clip(pictures + random.normal(scale=0.2, size=pictures.shape), 0, 1)
  return noisy.astype(np.float32), labels
