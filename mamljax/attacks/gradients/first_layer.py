"""Gradient of the first layer, whose columns span the images, and that span in noise."""

import jax
import jax.numpy as jnp

from mamljax.attacks.gradients.layers import Layer, Layers, bias_gradient, layer_gradient
from mamljax.errors import InputError
from mamljax.linear_algebra import product
from mamljax.types import Params

_OVERSAMPLING = 8  # directions beyond those sought (Halko et al., 2011)
_POWERS = 1
_SMALLEST = 1e-30  # of what is divided by


def first_layer(layers: Layers, reader: str) -> Layer:
  """The fully connected layer on images themselves: what enters depends on no parameter.

  Images may be normalised or turned into features before it, in any way that is not learnt. Of
  several layers it is the one whose gradient tells most directions, of equals the first.

  Raises:
    InputError: if there is none; it names the `reader`.
  """
  on_images = [layer for layer in layers.seen if not layer.reach]
  whole = [layer for layer in on_images if layer.places == 1]
  if whole:
    return max(whole, key=lambda layer: min(layer.product.inputs, layer.columns))
  reasons = [f'{layer.name!r} sees {layer.places} parts of an image' for layer in on_images]
  reasons += [layers.faults()] if layers.faults() else []
  if not reasons:
    names = ', '.join(repr(layer.name) for layer in layers.found[:3])
    reasons = [f'{names or "no parameters"} see what other parameters made of the images']
  raise InputError(
    f'{reader} needs a network whose first layer is fully connected, such as '
    f"'mlp': {'; '.join(reasons[:3])}"
  )


def first_gradient(layers: Layers, layer: Layer, gradient: Params) -> jax.Array:
  """The gradient of a layer, its biases below its weights: [inputs (+ 1), features]."""
  bias = bias_gradient(layers, layer, gradient)
  weights = layer_gradient(layers, layer, gradient)
  return weights if bias is None else jnp.concatenate([weights, bias[None]])


def random_start(key: jax.Array, matrix: jax.Array, *, rank: int) -> jax.Array:
  """Start of a search of the span: random numbers [columns, somewhat more than `rank`]."""
  return jax.random.normal(key, (matrix.shape[1], min(rank + _OVERSAMPLING, *matrix.shape)))


def span_in_noise(
  matrix: jax.Array, start: jax.Array, *, rank: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """The span of columns, each of them in units of its noise.

  Args:
    matrix: [rows, columns]; columns that are not finite, which LAPACK may not end on, are 0.
    start: from `random_start`.
    rank: directions that are sought.

  Returns:
    The leading left singular vectors [rows, rank], their singular values, the noise of a
    number of the scaled matrix and what that is in units of the matrix in its quietest column.
  """
  even, unit = _even_out(matrix, start)
  return *_span(even, start, rank=rank), unit


def _even_out(matrix: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The finite columns, each in units of its noise, 0 for others; and the least such unit.

  What is left of the quietest column outside the span tells the noise that all columns share;
  each has its rounding as well. No square overflows, nor does a small column vanish.
  """
  finite = jnp.isfinite(matrix).all(axis=0)
  matrix = jnp.where(finite, matrix, 0)
  largest = jnp.maximum(jnp.abs(matrix).max(), _SMALLEST)
  matrix /= largest
  basis = jnp.linalg.qr(product(matrix, start))[0]
  rest = matrix - product(basis, product(basis.T, matrix))
  shared = jnp.sqrt(jnp.min(jnp.mean(rest**2, axis=0), initial=1, where=finite))
  rounding = jnp.finfo(matrix.dtype).eps * jnp.abs(matrix).max(axis=0)
  noise = jnp.maximum(jnp.maximum(shared, rounding), _SMALLEST)
  return matrix / noise, jnp.min(noise, initial=1, where=finite) * largest


def _span(
  matrix: jax.Array, start: jax.Array, *, rank: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The leading left singular vectors and values, at most `rank`, and the noise of the rest.

  A randomised decomposition with power iterations: a tenth of the time of a full one, and as
  good, since what is left out is noise.
  """
  rank = min(rank, *matrix.shape)
  basis = jnp.linalg.qr(product(matrix, start))[0]
  for _ in range(_POWERS):
    basis = jnp.linalg.qr(product(matrix, jnp.linalg.qr(product(matrix.T, basis))[0]))[0]
  inner = product(basis.T, matrix)
  left, values, _ = jnp.linalg.svd(inner, full_matrices=False)
  freedom = (matrix.shape[0] - rank) * (matrix.shape[1] - rank)
  rest = jnp.sum((matrix - product(basis, inner)) ** 2) + jnp.sum(values[rank:] ** 2)
  noise = jnp.sqrt(rest / max(freedom, 1)) if freedom else jnp.zeros(())
  return product(basis, left[:, :rank]), values[:rank], noise
