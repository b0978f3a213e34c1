"""Layers found in the computation: what enters them, against the gradient it is a factor of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.layers import (
  bias_gradient,
  layer_gradient,
  layer_inputs,
  widest_layer,
)
from mamljax.convolution import windows
from mamljax.errors import InputError
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch
from tests import frameworks

SHAPE = (28, 28, 1)
READER = "attack 'any'"
FRAMES = [(name, kind) for name in frameworks.FRAMEWORKS for kind in ('mlp', 'conv')]


def batch_of(shape: tuple[int, ...], n: int = 3) -> Batch:
  images = np.random.default_rng(0).uniform(size=(n, *shape))
  return Batch(jnp.asarray(images, jnp.float32), jnp.arange(n) % 2)


def check_every_layer(loss_fn, params, batch: Batch) -> list:
  """The gradients of all layers are inputs times slopes, in the weights and in the biases."""
  layers = find_layers(loss_fn, params, batch.images[0])
  program, found = layers.program, layers.found
  assert layers.seen == found
  zeros = {at: jnp.zeros(program.avals[at].shape) for at in (x.leaving for x in found)}

  def slopes(image, label):
    alone = Batch(image[None], label[None])
    return jax.grad(
      lambda shifts: program.run(params, alone, [program.loss], shifts=shifts)[0]
    )(zeros)

  def compared(layer, deltas, sent):
    given = layer_inputs(layers, layer, params, batch.images)
    delta = jax.vmap(layer.product.columns)(deltas[layer.leaving]) / len(batch.labels)
    product = layer.product
    block = product.inputs // product.groups, product.features // product.groups
    made = jnp.einsum('npi,npf->if', given, delta) * np.kron(
      np.eye(product.groups), np.ones(block)
    )
    weights, bias = layer_gradient(layers, layer, sent), bias_gradient(layers, layer, sent)
    return (made, weights), (delta.sum(axis=(0, 1)), bias)

  @jax.jit
  def all_compared():
    deltas, sent = jax.vmap(slopes)(*batch), jax.grad(loss_fn)(params, batch)
    return [compared(layer, deltas, sent) for layer in found]

  for weights, (summed, bias) in all_compared():
    assert float(jnp.abs(weights[1]).max()) > 0
    np.testing.assert_allclose(*weights, atol=2e-6)
    np.testing.assert_allclose(summed, summed if bias is None else bias, atol=2e-6)
  return list(found)


@pytest.mark.parametrize(('framework', 'kind'), FRAMES)
def test_every_frameworks_layers_are_found(framework, kind):
  """Haiku's, NNX's and Equinox's were unknown, and so were flax.linen's own convolutions."""
  loss_fn, params = frameworks.make(framework, kind)
  found = check_every_layer(loss_fn, params, batch_of(frameworks.SHAPE))
  sizes = [(layer.places, layer.product.inputs, layer.product.features) for layer in found]
  wanted = {'mlp': [(1, 64, 16), (1, 16, 3)], 'conv': [(16, 9, 8), (4, 72, 24), (1, 96, 3)]}
  assert sizes == wanted[kind]
  assert all(layer.bias for layer in found)
  assert [bool(layer.reach) for layer in found] == [False, *[True] * (len(found) - 1)]


@pytest.mark.parametrize('framework', frameworks.FRAMEWORKS)
@pytest.mark.parametrize('kind', ['mlp', 'conv'])
def test_every_framework_sends_the_same_rows_and_columns(framework, kind):
  """Inputs and gradient of a layer have one order, whatever order the weights are in."""
  batch = batch_of(frameworks.SHAPE)
  sent = []
  for name in ('linen', framework):
    loss_fn, params = frameworks.make(name, kind)
    layers = find_layers(loss_fn, params, batch.images[0])
    layer, gradient = layers.found[0], jax.grad(loss_fn)(params, batch)
    inputs = layer_inputs(layers, layer, params, batch.images)
    sent.append((inputs, layer_gradient(layers, layer, gradient)))
  for mine, theirs in zip(*sent, strict=True):
    np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'options'),
  [
    ('conv4', {'filters': 4, 'normalization': 'group', 'convolution': 'xla'}),
    ('conv4', {'filters': 4, 'downsampling': 'max_pool', 'convolution': 'patches'}),
    ('lenet', {}),
    ('mlp', {}),
  ],
)
def test_our_own_networks_layers_are_found(name, options):
  network = make_network(name, ways=2, **options)
  params = init_params(jax.random.key(0), network, SHAPE)
  check_every_layer(CrossEntropy(network), params, batch_of(SHAPE))


# Window, strides, padding, dilation of the input and of the window, groups, order of axes.
CONVOLUTIONS = {
  'valid': ((3, 2), (1, 2), ((0, 0), (0, 0)), (1, 1), (1, 1), 1, ('NHWC', 'HWIO', 'NHWC')),
  'dilated': ((2, 3), (2, 1), ((1, 0), (3, 2)), (1, 1), (2, 3), 1, ('NCHW', 'OIHW', 'NHWC')),
  'transposed': ((3, 3), (1, 1), ((2, 1), (1, 2)), (2, 3), (1, 1), 1, ('NHWC', 'HWOI', 'NCHW')),
  'cropped': ((3, 3), (2, 2), ((-1, 1), (0, -2)), (1, 1), (1, 1), 1, ('HWNC', 'IHWO', 'CNHW')),
  'grouped': ((2, 2), (1, 2), ((0, 1), (0, 0)), (1, 1), (1, 1), 2, ('NHWC', 'HWIO', 'NHWC')),
  'depthwise': ((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 4, ('NCHW', 'OIHW', 'NCHW')),
}


@pytest.mark.parametrize('case', CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_of_any_kind(case):
  """A window read otherwise than the convolution does is a patch of no image."""
  window, strides, padding, spread, dilation, groups, axes = case
  sizes = {'H': window[0], 'W': window[1], 'I': 4 // groups, 'O': 8}
  kernel = [sizes[axis] for axis in axes[1]]

  def loss_fn(params, batch: Batch) -> jax.Array:
    order = ['NHWC'.index(axis) for axis in axes[0]]
    outputs = jax.lax.conv_general_dilated(
      batch.images.transpose(order),
      params['kernel'],
      strides,
      padding,
      lhs_dilation=spread,
      rhs_dilation=dilation,
      feature_group_count=groups,
      dimension_numbers=axes,
    )
    shape = [8 if axis == 'C' else 1 for axis in axes[2]]
    return jnp.tanh(outputs + params['bias'].reshape(shape)).mean()

  random = np.random.default_rng(1)
  params = {'kernel': random.normal(size=kernel), 'bias': random.normal(size=8)}
  params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
  (layer,) = check_every_layer(loss_fn, params, batch_of((6, 7, 4)))
  assert layer.bias
  assert layer.product.groups == groups


def test_windows_against_those_of_jax():
  """In one dimension and in three, as its own patches have them, channels first."""
  random = np.random.default_rng(0)
  for space, window in (((9,), (4,)), ((4, 3, 5), (2, 1, 3))):
    images = jnp.asarray(random.normal(size=(2, *space, 2)), jnp.float32)
    ones, padding = [1] * len(space), [(1, 2)] * len(space)
    own = windows(images, window, strides=ones, padding=padding, spread=ones, dilation=ones)
    theirs = jax.lax.conv_general_dilated_patches(
      jnp.moveaxis(images, -1, 1), window, ones, padding, precision=jax.lax.Precision.HIGHEST
    )
    theirs = jnp.moveaxis(theirs, 1, -1).reshape(*own.shape[:-2], 2, -1)
    np.testing.assert_array_equal(own, jnp.swapaxes(theirs, -1, -2))


def stacked(params, batch: Batch) -> jax.Array:
  """A scan over layers, each checkpointed, between two that are not."""

  @jax.checkpoint
  def step(x, layer):
    return jax.nn.relu(x @ layer['w'].T + layer['b']), None

  x = jax.jit(lambda w, x: x @ w)(params['in'], batch.images.reshape(len(batch.images), -1))
  x, _ = jax.lax.scan(step, x, params['inner'])
  return jax.nn.logsumexp(x @ params['out'].astype(jnp.float32), axis=1).mean()


def test_layers_in_scans_and_checkpoints_are_found():
  random = np.random.default_rng(0)
  shapes = {'in': (16, 5), 'inner': {'w': (3, 5, 5), 'b': (3, 5)}, 'out': (5, 2)}
  params = jax.tree.map(
    lambda shape: jnp.asarray(random.normal(size=shape), jnp.float32),
    shapes,
    is_leaf=lambda leaf: isinstance(leaf, tuple),
  )
  found = check_every_layer(stacked, params, batch_of((4, 4, 1)))
  assert [layer.name for layer in found] == ['in', *['inner/w'] * 3, 'out']
  assert [layer.bias is not None for layer in found] == [False, True, True, True, False]


def tied(params, batch: Batch) -> jax.Array:
  """Weights that are used twice, others in a loop, decayed, scaled or looked up in."""
  x = batch.images.reshape(len(batch.images), -1)
  twice = jnp.tanh(x @ params['twice'] @ params['twice'].T)
  looped = jax.lax.fori_loop(0, 3, lambda _, x: jnp.tanh(x @ params['looped']), twice)
  decayed = jnp.tanh(looped @ params['decayed'])
  scaled = decayed @ (params['scaled'] / 2)
  return scaled.mean() + jnp.sum(params['decayed'] ** 2) + params['table'][batch.labels].mean()


def test_what_is_no_layer_of_its_own_is_named():
  """Columns that sum what enters two layers, or decay, would tell of images that are not."""
  params = {
    name: jnp.ones((16, 16)) for name in ('twice', 'looped', 'decayed', 'scaled', 'table')
  }
  layers = find_layers(tied, params, jnp.zeros((4, 4, 1)))
  assert layers.seen == ()
  assert sorted([*{str(layer.fault) for layer in layers.found}, *layers.others]) == [
    "'looped' enters 'scan', no layer",
    "'scaled' enters 'div', no layer",
    "'table' enters 'gather', no layer",
    "the weights 'decayed' also enter 'integer_pow'",
    "the weights 'twice' are used twice: their gradient is a sum of both",
  ]
  with pytest.raises(InputError, match=f"^{READER} finds no layer .*'twice' are used twice"):
    widest_layer(layers, READER)


@pytest.mark.parametrize(
  ('name', 'options', 'found', 'places'),
  [
    ('conv4', {}, 'Convolution_3/kernel', 4),
    ('conv4', {'filters': 4}, 'Convolution_3/kernel', 4),  # not the logits, two for an image
    ('lenet', {}, 'Dense_0/kernel', 1),
    ('mlp', {}, 'Dense_0/kernel', 1),
  ],
)
def test_the_layer_with_the_most_features_for_a_place(name, options, found, places):
  """Another would mix more of what is looked for in fewer columns."""
  network = make_network(name, ways=2, **options)
  params = jax.eval_shape(lambda: init_params(jax.random.key(0), network, SHAPE))
  layers = find_layers(CrossEntropy(network), params, jax.ShapeDtypeStruct(SHAPE, jnp.float32))
  widest = widest_layer(layers, READER)
  assert (widest.name, widest.places) == (found, places)


def test_a_loss_without_layers_is_refused():
  """Silence would be an attack that compares nothing."""
  layers = find_layers(lambda params, batch: (params * batch.images).sum(), 1.0, np.ones(SHAPE))
  with pytest.raises(
    InputError, match=r"^attack 'any' finds no layer .* multiplies no parameter"
  ):
    widest_layer(layers, READER)


def test_a_gradient_that_is_not_like_the_parameters_is_named():
  """One of another network was read as if it were of this one."""
  loss_fn, params = frameworks.make('dict')
  layers = find_layers(loss_fn, params, np.ones(frameworks.SHAPE, np.float32))
  with pytest.raises(
    InputError, match=r"gradient of 'a' has the shape \[3, 16\], not \[16, 3\]"
  ):
    layer_gradient(layers, layers.found[0], params | {'a': params['a'].T})
  with pytest.raises(InputError, match='a gradient of 3 arrays is not one of parameters of 4'):
    layer_gradient(layers, layers.found[0], params | {'b': None})


def test_inputs_cost_no_more_than_the_network_up_to_there():
  """The layers behind are not computed."""
  loss_fn, params = frameworks.make('linen')
  images = jnp.ones((2, *frameworks.SHAPE))
  layers = find_layers(loss_fn, params, images[0])
  for at, products in ((0, 0), (1, 1)):
    layer = layers.found[at]
    traced = jax.make_jaxpr(lambda p, layer=layer: layer_inputs(layers, layer, p, images))(
      params
    )
    assert str(traced).count('dot_general') == products


def test_layers_are_found_while_a_loss_is_compiled():
  """Bookkeeping is NumPy's: behind a barrier or in parts of an array it must not be traced."""

  def loss_fn(params, batch: Batch) -> jax.Array:
    weights, bias = jax.lax.optimization_barrier((params['w'], params['b']))
    parts = jnp.split(jnp.flip(weights, 1), 2)
    flat = batch.images.reshape(len(batch.images), -1)
    return jnp.tanh(flat[:, :8] @ parts[0] + flat[:, 8:] @ parts[1] + bias).mean()

  def inputs(params, images):
    layers = find_layers(loss_fn, params, images[0])
    assert [(layer.name, layer.fault) for layer in layers.found] == [('w', None)] * 2
    return [layer_inputs(layers, layer, params, images)[:, 0] for layer in layers.found]

  images = batch_of((4, 4, 1)).images
  found = jax.jit(inputs)({'w': jnp.ones((16, 3)), 'b': jnp.ones(3)}, images)
  np.testing.assert_array_equal(jnp.concatenate(found, axis=1), images.reshape(3, -1))
