"""What enters a layer, against the gradient that it is a factor of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax.attacks.gradients.layers import (
  layer_gradient,
  layer_inputs,
  visit_layers,
  widest_layer,
)
from mamljax.errors import InputError
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch
from tests.attacks.plays import loss_fn

SHAPE = (28, 28, 1)
NETWORKS = [
  ('conv4', {'filters': 4}, ('Convolution_3',)),
  ('conv4', {'filters': 4, 'normalization': 'group'}, ('Convolution_0',)),
  ('conv4', {'filters': 4, 'downsampling': 'max_pool'}, ('Convolution_2',)),
  ('lenet', {}, ('Convolution_1',)),
  ('lenet', {}, ('Dense_1',)),
  ('mlp', {}, ('Dense_0',)),
]


def problem(name: str, options: dict) -> tuple:
  """A loss, its parameters and a batch of three images."""
  network = make_network(name, ways=2, **options)
  images = jnp.asarray(np.random.default_rng(0).uniform(size=(3, *SHAPE)), jnp.float32)
  params = init_params(jax.random.key(0), network, SHAPE)
  return CrossEntropy(network), params, Batch(images, jnp.array([0, 1, 1]))


@pytest.mark.parametrize(('name', 'options', 'path'), NETWORKS)
def test_the_gradient_is_inputs_times_slopes(name, options, path):
  """The identity that the patch space rests on; windows in another order would break it."""
  loss, params, batch = problem(name, options)
  shapes = {}

  def note(layer, inputs, outputs):
    del inputs
    shapes[layer.path] = outputs
    return outputs

  visit_layers(loss, note, params, batch)

  def moved(shift):
    def move(layer, inputs, outputs):
      del inputs
      return outputs + shift if layer.path == path else outputs

    return visit_layers(loss, move, params, batch)

  slopes = jax.grad(moved)(jnp.zeros(shapes[path].shape))
  inputs = layer_inputs(loss, params, batch, path)
  assert inputs.shape[:2] == (3, np.prod(slopes.shape[1:-1], dtype=int))
  made = inputs.reshape(-1, inputs.shape[-1]).T @ slopes.reshape(-1, slopes.shape[-1])
  sent = layer_gradient(jax.grad(loss)(params, batch), path)
  assert float(jnp.abs(sent).max()) > 0
  np.testing.assert_allclose(made, sent, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'options', 'path', 'places'),
  [
    ('conv4', {}, ('Convolution_3',), 4),
    ('conv4', {'filters': 4}, ('Convolution_3',), 4),  # not the logits, two for an image
    ('lenet', {}, ('Dense_0',), 1),
    ('mlp', {}, ('Dense_0',), 1),
  ],
)
def test_the_layer_with_the_most_features_for_a_place(name, options, path, places):
  """Another would mix more of what is looked for in fewer columns."""
  found = widest_layer(*problem(name, options))
  assert (found.path, found.places) == (path, places)


def test_a_network_without_such_layers_is_refused():
  """Silence would be an attack that compares nothing."""
  params = {'first': jnp.zeros((784, 4)), 'second': jnp.zeros((4, 2))}
  batch = Batch(jnp.zeros((1, *SHAPE)), jnp.zeros(1, jnp.int32))
  with pytest.raises(InputError, match='no layer of the network'):
    widest_layer(loss_fn, params, batch)


def test_visiting_changes_nothing():
  """The loss of a network that is looked at is the loss."""
  loss, params, batch = problem('lenet', {})
  seen = visit_layers(loss, lambda layer, inputs, outputs: outputs, params, batch)
  logits = loss.network.apply({'params': params}, batch.images)
  expected = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
  np.testing.assert_allclose(seen, expected, rtol=1e-6)
