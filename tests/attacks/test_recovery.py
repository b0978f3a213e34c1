"""Images out of a gradient: they are the true ones, and what was not found does not pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import Batch, InnerLoop, Task, meta_gradient
from mamljax.data import load_dataset
from mamljax.errors import InputError
from mamljax.recovery import recover_images

WAYS, WIDTH, SHAPE = 3, 128, (28, 28, 1)
recover = jax.jit(recover_images, static_argnames=('loss_fn', 'shape', 'count', 'samples'))


def digits(count: int) -> np.ndarray:
  """Digits of all classes in [0, 1]."""
  images = load_dataset('mnist_sample').images.reshape(10, 200, *SHAPE)
  return (images[np.arange(count) % 10, np.arange(count)] / 255).astype(np.float32)


def loss_fn(params, batch: Batch) -> jax.Array:
  """The cross-entropy of a network with one hidden layer."""
  flat = batch.images.reshape(len(batch.images), -1)
  hidden = jax.nn.relu(flat @ params['first']['kernel'] + params['first']['bias'])
  logits = jax.nn.log_softmax(hidden @ params['second'])
  return -logits[jnp.arange(len(batch.labels)), batch.labels].mean()


@functools.cache
def sent(steps: int):
  """The model, the gradient of a 3-way 1-shot task, and its six images."""
  first, second = jax.random.split(jax.random.key(0))
  kernel = jax.random.normal(first, (784, WIDTH)) * (2 / 784) ** 0.5
  params = {
    'first': {'kernel': kernel, 'bias': jnp.zeros(WIDTH)},
    'second': jax.random.normal(second, (WIDTH, WAYS)) * 0.1,
  }
  images, labels = digits(2 * WAYS), jnp.arange(WAYS)
  task = Task(
    Batch(jnp.asarray(images[:WAYS]), labels), Batch(jnp.asarray(images[WAYS:]), labels)
  )
  return params, meta_gradient(loss_fn, params, task, InnerLoop(steps, 0.1)), images


def errors(found, images: np.ndarray) -> np.ndarray:
  """The largest pixel error of each true image, in the found one nearest to it."""
  apart = np.abs(np.asarray(found.images)[:, None] - images[None]).max(axis=(2, 3, 4))
  return apart.min(axis=0)


@pytest.mark.parametrize('steps', [1, 3])
def test_both_sets_are_read_off_the_gradient(steps):
  """Six images, to a fraction of a grey level, for any number of inner steps."""
  params, gradient, images = sent(steps)
  found = recover(
    jax.random.key(1), loss_fn, params, gradient, SHAPE, count=2 * WAYS, samples=4000
  )
  assert errors(found, images).max() < 1 / 255
  assert found.outside.max() < 1 / 255
  assert found.silent.min() > WIDTH / 8


def test_what_is_not_there_is_seen_to_be_missing():
  """A gradient of noise has no units that an image does not reach: nothing passes for one."""
  params, gradient, images = sent(1)
  noise = jax.random.normal(jax.random.key(2), (785, WIDTH))
  random = {'first': {'kernel': noise[:-1], 'bias': noise[-1]}, 'second': gradient['second']}
  found = recover(
    jax.random.key(1), loss_fn, params, random, SHAPE, count=2 * WAYS, samples=4000
  )
  assert found.silent.max() < WIDTH / 8
  assert found.outside.min() > 0.1
  assert errors(found, images).min() > 0.1


def test_a_layer_that_cannot_tell_is_refused():
  """Without a bias an image has no scale, and a narrow layer mixes the images."""
  params, gradient, _ = sent(1)
  first = {'kernel': params['first']['kernel']}
  bare = params | {'first': first | {'bias': 0.0}}
  with pytest.raises(InputError, match='no bias and 128 units'):
    recover_images(jax.random.key(0), loss_fn, bare, bare, SHAPE, count=6)
  with pytest.raises(InputError, match='a bias and 128 units'):
    recover_images(jax.random.key(0), loss_fn, params, gradient, SHAPE, count=128)


def shuffled(params, batch: Batch) -> jax.Array:
  """The same network on turned pixels in other units; weights transposed, in a list."""
  weights, bias, last = params
  pixels = (batch.images[:, ::-1].transpose(0, 3, 2, 1) - 0.1) / 0.5
  hidden = jax.nn.relu(weights @ pixels.reshape(len(pixels), -1).T + bias[:, None])
  logits = jax.nn.log_softmax(hidden.T @ last)
  return -logits[jnp.arange(len(batch.labels)), batch.labels].mean()


def test_images_are_read_off_normalised_pixels():
  """The layer's inputs are not the pixels: they were read as if they were, or not at all."""
  params, _, images = sent(1)
  other = [params['first']['kernel'].T, params['first']['bias'], params['second']]
  support, query = (Batch(jnp.asarray(part), jnp.arange(WAYS)) for part in np.split(images, 2))
  gradient = meta_gradient(shuffled, other, Task(support, query), InnerLoop(1, 0.1))
  found = recover(jax.random.key(1), shuffled, other, gradient, SHAPE, count=6, samples=4000)
  assert errors(found, images).max() < 1 / 255


def blurred(params, batch: Batch) -> jax.Array:
  """The network on images of which each pixel is mixed with the next."""
  return loss_fn(params, batch._replace(images=(batch.images + jnp.roll(batch.images, 1)) / 2))


def test_a_layer_on_no_pixels_is_refused():
  """Images that are computed from inputs of another kind would be wrong without a word."""
  params, gradient, _ = sent(1)
  with pytest.raises(InputError, match=r"the 784 pixels themselves.*'first/kernel'"):
    recover_images(jax.random.key(0), blurred, params, gradient, SHAPE, count=6)
