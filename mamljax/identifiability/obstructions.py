"""Obstructions: proofs that no task with other data sends a given gradient."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks

Layer = Mapping[str, jax.Array]  # a flax Dense layer: kernel [inputs, width], bias [width]


def distance_to_row_space(layer: Layer, images: jax.Array) -> jax.Array:
  """Relative distances of images from the row space of a first layer's gradient.

  The columns [x; 1] of a task's images span the gradient of its first layer. If there are no
  more of them than units, and each contributes, their distances are rounding; that of an image
  outside the span is not.

  Args:
    layer: the received gradient of a fully connected first layer.
    images: [n, height, width, channels].

  Returns:
    ||(I - P) [x; 1]|| / ||[x; 1]|| for each image, [n]; P projects on the row space.
  """
  columns = _columns(images)
  residuals = columns - _project(_matrix(layer), columns)
  return jnp.linalg.norm(residuals, axis=0) / jnp.linalg.norm(columns, axis=0)


def least_mismatch(layer: Layer, images: jax.Array, *, free: int = 0) -> jax.Array:
  """A lower bound on the mismatch of every task with these images, by the rank of gradients.

  The first layer's gradient of a task with `images` and `free` others, which may be chosen, is
  a matrix in the span of the images plus one of rank `free`. With P the projection on that
  span, the distance to the received G is at least the norm of the singular values of (I - P) G
  after the first `free` (Eckart and Young). The bound holds for every adaptation and labels.

  Args:
    layer: the received gradient G of a fully connected first layer.
    images: [n, height, width, channels], such as M_s.
    free: number of further images, such as those of M_q.

  Returns:
    A lower bound of ||G(M) - G|| / ||G|| over all such tasks M, a scalar.
  """
  checks.whole('free', free, least=0)
  matrix = _matrix(layer)
  outside = matrix - _project(_columns(images), matrix)
  singular_values = jnp.linalg.svd(outside, compute_uv=False)
  return jnp.linalg.norm(singular_values[free:]) / jnp.linalg.norm(matrix)


def relu_imbalance(params: tuple[Layer, Layer], gradient: tuple[Layer, Layer]) -> jax.Array:
  """A lower bound on the distance of a vector from all gradients of a one-layer ReLU network.

  In the gradient on any data, unit j satisfies <W1_j, dW1_j> + b1_j db1_j = <W2_j, dW2_j>.

  Args:
    params: the hidden layer and the output layer.
    gradient: the vector, such as g' of `query_gradient` at theta'.

  Returns:
    A lower bound of ||grad L(params; M_q) - gradient|| / ||gradient|| over all M_q, a scalar.
  """
  (incoming, outgoing), (d_incoming, d_outgoing) = (
    (_matrix(first), second['kernel']) for first, second in (params, gradient)
  )
  # Each unit's direction [incoming, -outgoing] is orthogonal to those of the others.
  component = (incoming * d_incoming).sum(axis=0) - (outgoing * d_outgoing).sum(axis=1)
  squared_length = (incoming**2).sum(axis=0) + (outgoing**2).sum(axis=1)
  norm = jnp.linalg.norm(ravel_pytree(gradient)[0])
  return jnp.sqrt((component**2 / squared_length).sum()) / norm


def _matrix(layer: Layer) -> jax.Array:
  """The weights of a layer with its biases as the last row, [inputs + 1, width]."""
  return jnp.vstack([layer['kernel'], layer['bias']])


def _columns(images: jax.Array) -> jax.Array:
  """The column [x; 1] of each image, [inputs + 1, n]."""
  return jnp.vstack([images.reshape(len(images), -1).T, jnp.ones((1, len(images)))])


def _project(matrix: jax.Array, columns: jax.Array) -> jax.Array:
  """The projections of some columns on the span of the columns of a matrix."""
  basis, singular_values, _ = jnp.linalg.svd(matrix, full_matrices=False)
  rounding = singular_values[0] * max(matrix.shape) * jnp.finfo(matrix.dtype).eps
  basis = jnp.where(singular_values > rounding, basis, 0)
  return basis @ (basis.T @ columns)
