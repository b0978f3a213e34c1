"""The images of a task themselves, out of the gradient of its first layer of ReLUs.

The gradient of unit j is sum_i [x_i; 1] delta_ij over the images of both sets, and delta_ij
is exactly 0 wherever image i does not reach unit j, which is about every other place. So for
each image there is a vector h_i, in coordinates of what the columns span (see `row_space`),
that is orthogonal to the columns of about half of the units: h_i is the normal of the other
images' span. It is found by chance: as many random columns less one as there are images have
a normal, and if they all happen to belong to units that one image does not reach, many more
columns are orthogonal to it. The images are the dual basis, exact up to rounding; the bias
tells their scale. The sparsest vectors of a row space are those of Spielman, Wang and Wright
(2012), and Dimitrov et al. (2024, SPEAR) read a batch off an ordinary gradient so. The
columns that are needed double with each image: a dozen images are in reach, thirty are not.
An image that is known already tells, by the weights that were sent out, which units it does
not reach, all but a few that the adaptation moved; so where one normal is missing, its image,
which the other normals tell, tells it.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.first_layer import (
  first_gradient,
  first_layer,
  random_start,
  span_in_noise,
)
from mamljax.attacks.gradients.layers import Layer, Layers, layer_inputs
from mamljax.errors import InputError
from mamljax.linear_algebra import product
from mamljax.numerics import is_finite
from mamljax.types import LossFn, Params

# Below it a unit column is orthogonal to a normal: one of few columns, one fitted to many.
_ZERO, _SURE = 1e-4, 1e-5
_APART = 2e-2  # above it two normals are not the same
_SHARES = 0.9, 0.8, 0.7, 0.6  # of the columns that an image should be silent in
_BATCH = 500  # samples at a time
_READER = 'the recovery of images'


class Recovered(NamedTuple):
  """Images of both sets, in no order.

  Attributes:
    images: [count, height, width, channels].
    silent: the units whose columns say that an image does not reach them [count]: about half
      of those that any image reaches where an image was found.
    outside: how far the farthest pixel lies outside [0, 1], [count]: about 0 where all images
      were found, while one that was not spoils others; infinite, and the image black, where
      the normals say nothing.
  """

  images: jax.Array
  silent: jax.Array
  outside: jax.Array


def recover_images(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  gradient: Params,
  shape: tuple[int, int, int],
  *,
  count: int,
  samples: int = 20_000,
) -> Recovered:
  """The images that a gradient was computed from.

  Args:
    key: a random key, for the search.
    loss_fn: the task's loss, which only tells the network's layers.
    params: the meta-knowledge w.
    gradient: what was received, of a network with a fully connected first layer of ReLUs
      with biases, wider than there are images; its inputs are the pixels in any order, each
      scaled and shifted.
    shape: of an image: height, width, channels.
    count: images in both sets together.
    samples: how many sets of columns are tried.

  Returns:
    `Recovered`. What is found is told by `silent` and `outside`, without the truth. Of a model
    or a gradient that is not finite nothing can be said: NaN.

  Raises:
    InputError: if there is no layer with a bias that takes all pixels at once, or it has not
      more units than there are images.
  """
  checks.whole('count', count, least=1)
  checks.whole('samples', samples, least=1)
  layers = find_layers(loss_fn, params, jax.ShapeDtypeStruct(shape, jnp.float32))
  layer = first_layer(layers, _READER)
  if layer.bias is None or layer.columns <= count:
    raise InputError(
      f'{count} images are read off a first layer with a bias and more units than images, '
      f'not off {"a" if layer.bias else "no"} bias and {layer.columns} units'
    )
  pixels = _pixels(layers, layer, params, shape)
  matrix = first_gradient(layers, layer, gradient)
  key_span, key_samples = jax.random.split(key)
  start = random_start(key_span, matrix, rank=count)
  basis = span_in_noise(matrix, start, rank=count)[0]
  columns, live = _unit_columns(product(basis.T, _even(matrix)))
  normals, counts = _sample(key_samples, columns, live, samples=samples)
  chosen, silent = _choose(normals, counts, columns, live)
  weights = first_gradient(layers, layer, params)
  reach = product(basis.T, weights), basis[-1]
  chosen, silent = _complete(chosen, silent, columns, live, reach)
  points = product(basis, jnp.linalg.inv(chosen))
  found = (points[:-1] / points[-1]).T
  lost = ~jnp.isfinite(found).all(axis=1)
  found = jnp.where(lost[:, None], 0, pixels.undo(found))
  outside = jnp.where(lost, jnp.inf, jnp.max(jnp.abs(found - 0.5), axis=1) - 0.5)
  images, outside = found.reshape(count, *shape), jnp.maximum(outside, 0)
  told = is_finite((params, gradient))
  images, outside = (jnp.where(told, part, jnp.nan) for part in (images, outside))
  return Recovered(images, jnp.where(told, silent, 0), outside)


class _Pixels(NamedTuple):
  """The inputs of a layer as pixels: inputs = scale * pixels[places] + shift, [inputs].

  Attributes:
    places: of an input's pixel in the flattened image.
    scale: factor of each.
    shift: what is added to it.
  """

  places: np.ndarray
  scale: np.ndarray
  shift: np.ndarray

  def undo(self, inputs: jax.Array) -> jax.Array:
    """The pixels that inputs [..., inputs] are made of."""
    pixels = (inputs - self.shift) / self.scale
    return pixels[..., np.argsort(self.places)]


def _pixels(
  layers: Layers, layer: Layer, params: Params, shape: tuple[int, int, int]
) -> _Pixels:
  """The inputs of the first layer in terms of pixels, as trial images tell.

  Raises:
    InputError: if they are not the pixels, each once, scaled and shifted.
  """
  size = math.prod(shape)
  tried = np.random.default_rng(0).uniform(size=size)
  images = np.stack([np.zeros(size), np.ones(size), np.arange(size) / size, tried])
  # It depends on no parameter, so that it is known even where those are traced.
  with jax.ensure_compile_time_eval():
    given = jnp.asarray(images.reshape(len(images), *shape), jnp.float32)
    inputs = np.asarray(layer_inputs(layers, layer, params, given)[:, 0], np.float64)
  scale, shift = inputs[1] - inputs[0], inputs[0]
  with np.errstate(all='ignore'):
    places = np.rint(np.nan_to_num((inputs[2] - shift) / scale * size)).astype(int)
  each_once = np.array_equal(np.sort(places), np.arange(size))
  if not each_once or not np.allclose(tried[places] * scale + shift, inputs[3], atol=1e-4):
    raise InputError(
      f'{_READER} needs a first layer on the {size} pixels themselves, each scaled and shifted '
      f'at most: {layer.name!r} has {layer.product.inputs} other inputs'
    )
  return _Pixels(places, scale.astype(np.float32), shift.astype(np.float32))


def _even(matrix: jax.Array) -> jax.Array:
  """The columns over their largest numbers; 0 where one is not finite."""
  matrix = jnp.where(jnp.isfinite(matrix).all(axis=0), matrix, 0)
  return matrix / jnp.maximum(jnp.abs(matrix).max(axis=0), 1e-30)


def _unit_columns(columns: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The columns at length 1, and which of them are not 0."""
  norms = jnp.linalg.norm(columns, axis=0)
  return columns / jnp.maximum(norms, 1e-30), norms > _SURE


def _sample(
  key: jax.Array, columns: jax.Array, live: jax.Array, *, samples: int
) -> tuple[jax.Array, jax.Array]:
  """Normals of random columns [samples, count], and how many columns each is orthogonal to."""
  count = len(columns)

  def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    key_columns, key_normal = jax.random.split(key)
    order = jnp.where(live, jax.random.uniform(key_columns, live.shape), -1)
    picked = jax.lax.top_k(order, count - 1)[1]
    normal = _orthogonal(columns[:, picked], jax.random.normal(key_normal, (count,)))
    return normal, jnp.sum(_silent(normal, columns, live, _ZERO))

  return jax.lax.map(one, jax.random.split(key, samples), batch_size=_BATCH)


def _orthogonal(vectors: jax.Array, start: jax.Array) -> jax.Array:
  """Share of `start` orthogonal to these columns, at length 1; without LAPACK's calls."""

  def add(at: jax.Array, basis: jax.Array) -> jax.Array:
    rest = _reject(basis, stacked[:, at])
    return basis.at[:, at].set(rest / jnp.maximum(jnp.linalg.norm(rest), 1e-30))

  stacked = jnp.concatenate([vectors, start[:, None]], axis=1)
  return jax.lax.fori_loop(0, stacked.shape[1], add, jnp.zeros_like(stacked))[:, -1]


def _reject(basis: jax.Array, vectors: jax.Array) -> jax.Array:
  """Share of vectors outside the span of orthonormal columns; twice is enough (Kahan)."""
  for _ in range(2):
    vectors = vectors - product(basis, product(basis.T, vectors))
  return vectors


def _silent(normal: jax.Array, columns: jax.Array, live: jax.Array, zero: float) -> jax.Array:
  """Units that the image of a normal does not reach, as booleans."""
  return (jnp.abs(product(normal, columns)) < zero) & live


def _fit(normal: jax.Array, columns: jax.Array, live: jax.Array, zero: float) -> jax.Array:
  """The normal of all columns that this one is all but orthogonal to."""
  kept = columns * _silent(normal, columns, live, zero)
  return jnp.linalg.svd(kept, full_matrices=False)[0][:, -1]


def _choose(
  normals: jax.Array, counts: jax.Array, columns: jax.Array, live: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The normals with most columns, each apart from those before, fitted to all of them."""

  def add(basis: jax.Array, at: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    apart = jnp.linalg.norm(_reject(basis, normals.T), axis=0)
    best = jnp.argmax(jnp.where(apart > _APART, counts, -1))
    normal = _fit(_fit(normals[best], columns, live, _ZERO), columns, live, _SURE)
    rest = _reject(basis, normal)
    basis = basis.at[:, at].set(rest / jnp.maximum(jnp.linalg.norm(rest), 1e-30))
    return basis, (normal, jnp.sum(_silent(normal, columns, live, _SURE)))

  count = len(columns)
  return jax.lax.scan(add, jnp.zeros((count, count)), jnp.arange(count))[1]


def _complete(
  normals: jax.Array,
  silent: jax.Array,
  columns: jax.Array,
  live: jax.Array,
  reach: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """The normals, those replaced whose images tell of one with more columns; the last first.

  `reach` is what tells a unit's input and an image's scale, in the coordinates of the columns.
  """

  def tell(
    told: tuple[jax.Array, jax.Array], at: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    normals, silent = told
    image = jnp.nan_to_num(jnp.linalg.inv(normals)[:, at])
    inputs, scale = (product(image, vector) for vector in reach)
    quiet = live & (inputs * jnp.sign(scale) <= 0)
    normal = _fit_most(columns, quiet)
    normal = _fit(_fit(normal, columns, live, _ZERO), columns, live, _SURE)
    found = jnp.sum(_silent(normal, columns, live, _SURE))
    apart = jnp.abs(product(normal, image)) > _APART * jnp.linalg.norm(image)
    better = apart & (found > silent[at])
    normals = normals.at[at].set(jnp.where(better, normal, normals[at]))
    return (normals, silent.at[at].set(jnp.where(better, found, silent[at]))), None

  return jax.lax.scan(tell, (normals, silent), jnp.arange(len(columns))[::-1])[0]


def _fit_most(columns: jax.Array, quiet: jax.Array) -> jax.Array:
  """The normal of most of these columns: those that fit worst are left out, again and again."""
  kept = quiet
  for share in _SHARES:
    normal = jnp.linalg.svd(columns * kept, full_matrices=False)[0][:, -1]
    residual = jnp.where(quiet, jnp.abs(product(normal, columns)), jnp.inf)
    kept = quiet & (residual <= jnp.sort(residual)[jnp.int32(share * jnp.sum(quiet))])
  return jnp.linalg.svd(columns * kept, full_matrices=False)[0][:, -1]
