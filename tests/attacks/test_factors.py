"""A dense network's gradient in factors against the gradient itself, in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.benchmarking.flops import count_flops
from mamljax.attacks import Knowledge, Observation
from mamljax.attacks.gradients.factors import dense_layers, factor_gradient, squared_norm, vdot
from mamljax.attacks.gradients.objectives import objective
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, LossFn, Params

WAYS, SHAPE = 3, (4, 5, 1)
LOSS_FN = CrossEntropy(make_network('mlp', ways=WAYS, activation='softplus'))


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def problem(seed: int, n: int) -> tuple[Params, Batch, Params]:
  """Parameters of an MLP, a batch, and a received gradient."""
  random = np.random.default_rng(seed)

  def draw(like: jax.ShapeDtypeStruct) -> np.ndarray:
    return random.normal(scale=like.shape[0] ** -0.5, size=like.shape)

  key = jax.random.key(0)
  shapes = jax.eval_shape(lambda: init_params(key, LOSS_FN.network, SHAPE))
  params, received = (jax.tree.map(draw, shapes) for _ in range(2))
  images = jnp.asarray(random.uniform(size=(n, *SHAPE)))
  return params, Batch(images, jnp.arange(n) % WAYS), received


@jax.jit
def both_ways(params: Params, batch: Batch, received: Params) -> tuple:
  """The two inner products from factors, and from the gradient."""
  layers = dense_layers(LOSS_FN, params, batch)
  assert layers is not None
  factors = factor_gradient(layers, params, batch)
  gradient = jax.grad(LOSS_FN)(params, batch)
  whole = optax.tree.vdot(gradient, received), optax.tree.vdot(gradient, gradient)
  return (vdot(layers, factors, received), squared_norm(layers, factors)), whole


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), n=st.sampled_from([1, 4]))
def test_inner_products_are_those_of_the_gradient(seed, n):
  """The cosine that an attack descends along would be that of another vector."""
  by_factors, whole = both_ways(*problem(seed, n))
  np.testing.assert_allclose(by_factors, whole, rtol=1e-11, atol=1e-13)


def opaque(params: Params, batch: Batch, /) -> jax.Array:
  """The same loss of weights that are scaled first: nothing to factor."""
  return LOSS_FN(jax.tree.map(lambda leaf: 1.0 * leaf, params), batch)


def slope_of(loss_fn: LossFn, params: Params, batch: Batch, received: Params) -> jax.Array:
  """The slope of equation 9 in the images."""
  seen = Observation(received, batch.labels, batch.labels)

  def value(images: jax.Array) -> jax.Array:
    known, guess = Knowledge(loss_fn, params), batch._replace(images=images)
    return objective(known, seen, guess, target='query', tv_weight=0.1)

  return jax.grad(value)(jnp.asarray(batch.images))


def test_the_slope_of_the_objective_is_the_same_by_either_way():
  """The factors are differentiated, too: a term that is lost there bends the descent."""
  params, batch, received = problem(0, 4)
  slope = jax.jit(slope_of, static_argnums=0)
  by_factors = slope(LOSS_FN, params, batch, received)
  whole = slope(opaque, params, batch, received)
  np.testing.assert_allclose(by_factors, whole, rtol=1e-10, atol=1e-14)


def test_factors_do_less_arithmetic():
  """They are there to be cheaper."""
  params, batch, received = problem(0, 4)
  traced = jax.make_jaxpr(slope_of, static_argnums=0)
  by_factors = count_flops(traced(LOSS_FN, params, batch, received))
  whole = count_flops(traced(opaque, params, batch, received))
  assert by_factors.products < 0.9 * whole.products


class Twice(nn.Module):
  """A layer that is applied two times: its gradient is a sum of two products."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    layer = nn.Dense(20)
    return layer(layer(images.reshape(len(images), -1)))


@pytest.mark.parametrize(
  'network',
  [
    Twice(),
    make_network('conv4', ways=WAYS, filters=2),
    make_network('mlp', ways=WAYS, normalization='batch'),
    nn.Dense(8),
  ],
  ids=['applied twice', 'convolutions', 'normalised', 'not flat'],
)
def test_other_networks_have_none(network):
  """Factors of a part of the gradient would pass for all of it."""
  images = jnp.zeros((2, *SHAPE))
  shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images)['params'])

  def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
    return network.apply({'params': params}, batch.images).sum()

  assert dense_layers(loss_fn, shapes, Batch(images, jnp.arange(2))) is None


def test_many_images_have_none():
  """With more images than a layer is wide, products of images by images cost more."""
  params, *_ = problem(0, 1)
  assert dense_layers(LOSS_FN, params, Batch(jnp.zeros((9, *SHAPE)), jnp.arange(9))) is not None
  many = Batch(jnp.zeros((500, *SHAPE)), jnp.arange(500) % WAYS)
  assert dense_layers(LOSS_FN, params, many) is None
