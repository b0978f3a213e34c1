"""The networks are the usual ones, take any image, and keep a batch's images apart."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import Batch, CrossEntropy, InputError, init_params, make_network
from mamljax.networks import (
  ACTIVATIONS,
  NETWORKS,
  NORMALIZATIONS,
  Network,
  Normalization,
  accuracy,
  max_pool,
  predict,
)

WAYS = 4
SHAPES = list(itertools.product([(28, 28), (32, 32), (16, 16), (12, 20)], [1, 3]))


class TwoLayers(Network):
  """A layer of each kind: quick to compile."""

  @nn.compact
  def __call__(self, images):
    x = self.finish(self.convolve(images, 64, 3, stride=2))
    return self.dense(max_pool(x).reshape(len(x), -1), self.ways)


def weights(network, shape):
  """He-scaled weights of a network, drawn by numpy: a fraction of the time of `init`."""
  rng = np.random.default_rng(0)
  leaves = jax.eval_shape(lambda key: init_params(key, network, shape), jax.random.key(0))

  def leaf(shape):
    return jnp.asarray(rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1] or (50,))), 'f4')

  return jax.tree.map(lambda s: leaf(s.shape), leaves)


def noise(n, shape):
  """Uniform images."""
  return jnp.asarray(np.random.default_rng(1).uniform(size=(n, *shape)), 'f4')


@pytest.mark.parametrize('name', NETWORKS)
def test_logits_of_any_image(name):
  """Else a data set of another size or colour would need another network."""
  for (size, channels), activation in itertools.product(SHAPES, ACTIVATIONS):
    network = make_network(name, ways=WAYS, activation=activation)
    images = jax.ShapeDtypeStruct((5, *size, channels), jnp.float32)
    logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert logits.shape == (5, WAYS)
    assert logits.dtype == jnp.float32


@pytest.mark.parametrize('name', NETWORKS)
def test_the_smallest_image_is_what_a_network_says(name):
  """Else a small picture ends in a division by zero deep inside."""
  network = make_network(name, ways=WAYS)
  side = network.smallest_image
  for shape in ((side, side, 1), (side, side + 1, 3)):
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert logits.shape == (2, WAYS)


def test_lenet_refuses_smaller_images():
  """Its two 5 x 5 windows and two poolings would leave nothing: say so."""
  with pytest.raises(InputError, match=r'lenet needs images of .* not .*11'):
    init_params(jax.random.key(0), make_network('lenet', ways=WAYS), (11, 28, 1))


# Every network with every normalisation, in different activations, sizes and colours.
COVERING = [
  (name, normalization, list(ACTIVATIONS)[(i + j) % 3], *SHAPES[(5 * i + 3 * j) % 8])
  for (i, name), (j, normalization) in itertools.product(
    enumerate(NETWORKS), enumerate(NORMALIZATIONS)
  )
]


@pytest.mark.parametrize(('name', 'normalization', 'activation', 'size', 'channels'), COVERING)
def test_only_batch_statistics_mix_the_images_of_a_batch(
  name, normalization, activation, size, channels
):
  """Else an attack would see members through logits that are not theirs, unannounced."""
  width = {'filters': 4} if name == 'conv4' else {}
  options = {'normalization': normalization, 'activation': activation} | width
  network = make_network(name, ways=WAYS, **options)
  shape = (*size, channels)
  params = weights(network, shape)
  images = noise(3, shape)
  compiled = jax.jit(functools.partial(predict, network))
  logits = compiled(params, images)
  others_black = compiled(params, images.at[1:].set(0))
  assert np.isfinite(logits).all()
  assert np.isfinite(others_black).all()
  moved = np.abs(logits - others_black)[0].max() / np.abs(logits[0]).max()
  assert moved > 1e-3 if normalization == 'batch' else moved < 1e-5


@pytest.mark.parametrize('normalization', NORMALIZATIONS)
def test_gradients_are_finite_at_a_black_image(normalization):
  """Without variance or at a kink, one NaN would spread to every parameter."""
  network = TwoLayers(WAYS, normalization=normalization)
  shape = (6, 8, 1)
  batch = Batch(noise(3, shape).at[0].set(0), jnp.arange(3))
  slope = jax.jit(jax.grad(CrossEntropy(network)))(weights(network, shape), batch)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
  assert np.abs(slope['Convolution_0']['kernel']).max() > 0


@pytest.mark.parametrize(
  ('name', 'options', 'parameters'),
  [
    ('conv4', {}, 320 + 3 * 9_248 + (2 * 2 * 32 * 5 + 5)),
    ('conv4', {'downsampling': 'max_pool'}, 320 + 3 * 9_248 + (1 * 1 * 32 * 5 + 5)),
    ('conv4', {'filters': 64}, 640 + 3 * 36_928 + (2 * 2 * 64 * 5 + 5)),
    ('conv4', {'normalization': 'batch'}, 320 + 3 * 9_248 + 645 + 4 * 64),
    ('mlp', {}, 200_960 + 32_896 + 8_256 + 4_160 + 325),
    ('lenet', {}, 156 + 2_416 + 48_120 + 10_164 + 425),
  ],
)
def test_number_of_parameters_counted_by_hand(name, options, parameters):
  """28 x 28, 5 ways: else it is another network than the literature's."""
  network = make_network(name, ways=5, **options)
  shapes = jax.eval_shape(lambda key: init_params(key, network, (28, 28, 1)), jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


class FlaxConv4(nn.Module):
  """Conv4 as one would write it with flax's own layers."""

  pool: bool

  @nn.compact
  def __call__(self, x):
    for _ in range(4):
      x = nn.relu(nn.Conv(8, (3, 3), strides=1 if self.pool else 2)(x))
      x = nn.max_pool(x, (2, 2), strides=(2, 2)) if self.pool else x
    return nn.Dense(WAYS)(x.reshape(len(x), -1))


@pytest.mark.parametrize('downsampling', ['stride', 'max_pool'])
def test_conv4_is_flaxs(downsampling):
  """Weights trained elsewhere must mean the same here."""
  network = make_network('conv4', ways=WAYS, filters=8, downsampling=downsampling)
  params = weights(network, (20, 17, 3))
  renamed = {name.replace('Convolution', 'Conv'): leaf for name, leaf in params.items()}
  images = noise(3, (20, 17, 3))
  reference = FlaxConv4(pool=downsampling == 'max_pool')
  expected = jax.jit(reference.apply)({'params': renamed}, images)
  found = jax.jit(predict, static_argnums=0)(network, params, images)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 6, 8, 3), (1, 7, 5, 2), (1, 3, 2, 1)])
def test_max_pool_is_flaxs(shape):
  """Odd rows and columns are dropped, as everywhere."""
  x = jnp.asarray(np.random.default_rng(2).normal(size=shape))
  np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, (2, 2), strides=(2, 2)))


def test_batch_normalization_is_flaxs_on_the_current_batch():
  """Else 'batch' is another leak than the one that MAML has."""
  x = jnp.asarray(np.random.default_rng(3).normal(2, 3, size=(5, 4, 4, 3)))
  params = {'scale': jnp.array([1.0, 2.0, 0.5]), 'bias': jnp.array([0.0, 1.0, -1.0])}
  flax = nn.BatchNorm(use_running_average=False, use_fast_variance=False)
  state = {'params': params, 'batch_stats': {'mean': jnp.zeros(3), 'var': jnp.ones(3)}}
  expected, _ = flax.apply(state, x, mutable=['batch_stats'])
  found = Normalization('batch').apply({'params': params}, x)
  np.testing.assert_allclose(jnp.asarray(found), expected, rtol=1e-5, atol=1e-5)


def test_softplus_is_jaxs_up_to_its_third_derivative():
  """Its derivative is our own: the support attack takes two more, each must be the true one."""

  def plain(z):
    return jax.nn.softplus(5 * z) / 5

  with jax.enable_x64(True):
    z = jnp.concatenate([jnp.linspace(-4, 4, 81), jnp.array([-300.0, 300.0])])
    found, expected = ACTIVATIONS['softplus'], plain
    for _ in range(4):
      np.testing.assert_allclose(
        jax.vmap(found)(z), jax.vmap(expected)(z), rtol=1e-9, atol=1e-12
      )
      found, expected = jax.grad(found), jax.grad(expected)
    # Forwards over backwards, too, as in a Hessian-vector product.
    forwards = [jax.jvp(jax.grad(f), (0.3,), (1.0,)) for f in (ACTIVATIONS['softplus'], plain)]
    np.testing.assert_allclose(*forwards, rtol=1e-9)


def drawn_layers(initialization):
  """Kernel, biases and fan-in of each layer of a new network."""
  network = TwoLayers(WAYS, initialization=initialization)
  params = jax.jit(init_params, static_argnums=(1, 2))(jax.random.key(0), network, (28, 28, 3))
  for layer in params.values():
    kernel = np.asarray(layer['kernel'])
    yield kernel, np.asarray(layer['bias']), int(np.prod(kernel.shape[:-1]))


def test_he_initialization():
  """Variance 2 / fan_in: else logits hardly vary, and every attack looks weaker than it is."""
  for kernel, bias, fan_in in drawn_layers('he'):
    assert kernel.var() * fan_in / 2 == pytest.approx(1, abs=6 * np.sqrt(2 / kernel.size))
    np.testing.assert_array_equal(bias, 0)


def test_pytorch_initialization():
  """Weights and biases uniform in +-1/sqrt(fan_in): else 'pytorch' is not PyTorch's."""
  for kernel, bias, fan_in in drawn_layers('pytorch'):
    for drawn in (kernel, bias):
      assert np.abs(drawn).max() * np.sqrt(fan_in) <= 1 + 1e-6
      assert drawn.var() * fan_in * 3 == pytest.approx(1, abs=6 / np.sqrt(drawn.size))
    assert np.abs(kernel).max() * np.sqrt(fan_in) > 0.95


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    ('conv5', {}, "unknown network 'conv5': did you mean 'conv4'?"),
    ('mlp', {'activation': 'Relu'}, "unknown activation 'Relu': did you mean 'relu'?"),
    ('mlp', {'normalization': 'bach'}, "unknown normalization 'bach': did you mean 'batch'?"),
    (
      'mlp',
      {'initialization': 'torch'},
      "unknown initialization 'torch': did you mean 'pytorch'",
    ),
    (
      'conv4',
      {'downsampling': 'maxpool'},
      "unknown downsampling 'maxpool': did you mean 'max_po",
    ),
    ('conv4', {'convolution': 'patch'}, "unknown convolution 'patch': did you mean 'patches'?"),
  ],
)
def test_misspelt_names_are_met_with_the_nearest(name, options, message):
  """One line that says what to type instead."""
  with pytest.raises(InputError) as caught:
    make_network(name, ways=2, **options)
  assert str(caught.value).startswith(message)
  assert '\n' not in str(caught.value)


def test_every_product_of_a_network_has_its_precision():
  """Else one layer of a float32 audit runs in TF32 on a GPU, unsaid."""
  images = noise(2, (12, 12, 1))
  for precision in ('highest', 'default'):
    network = make_network('lenet', ways=2, precision=precision)
    classify = functools.partial(predict, network)
    program = str(jax.make_jaxpr(classify)(weights(network, (12, 12, 1)), images))
    assert program.count(precision.upper()) == 2 * program.count('dot_general[') == 10


def test_equal_losses_compile_once():
  """Else each cell of a sweep compiles its network anew."""
  traces = []

  @functools.partial(jax.jit, static_argnums=0)
  def loss_of(loss_fn, params, batch):
    traces.append(loss_fn)
    return loss_fn(params, batch)

  params = weights(TwoLayers(WAYS), (4, 4, 1))
  batch = Batch(noise(2, (4, 4, 1)), jnp.arange(2))
  for activation in ('relu', 'relu', 'sigmoid'):
    loss_of(CrossEntropy(TwoLayers(WAYS, activation=activation)), params, batch)
  one, same, other = (
    CrossEntropy(make_network('conv4', ways=ways, filters=8)) for ways in (2, 2, 3)
  )
  assert len(traces) == 2
  assert (one, hash(one)) == (same, hash(same)) != (other, hash(other))


def test_cross_entropy_and_accuracy_are_means_over_the_batch():
  """Contracts and learning rates rest on it: a sum would grow with the shots."""
  network = TwoLayers(WAYS)
  params = weights(network, (4, 4, 1))
  labels = np.array([0, 1, 2, 3, 0, 1])
  batch = Batch(noise(6, (4, 4, 1)), jnp.asarray(labels))

  @jax.jit
  def measure(params, batch):
    right = accuracy(network, params, batch)
    return predict(network, params, batch.images), CrossEntropy(network)(params, batch), right

  logits, loss, right = measure(params, batch)
  odds = np.exp(np.asarray(logits, float))
  shares = odds[np.arange(6), labels] / odds.sum(axis=1)
  np.testing.assert_allclose(loss, -np.log(shares).mean(), rtol=1e-5)
  np.testing.assert_allclose(right, (logits.argmax(axis=1) == labels).mean(), rtol=1e-6)
