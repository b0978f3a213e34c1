"""Lower bounds on the mismatch of every task, where no other data can send a gradient."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks

Layer = Mapping[str, jax.Array]  # a flax Dense layer: kernel [inputs, width], bias [width]


def distance_to_row_space(layer: Layer, images: jax.Array) -> jax.Array:
  """Relative distances of images from the row space of a first layer's gradient.

  The columns [x; 1] of a task's images span the gradient of its first layer. If they are no
  more than the layer's width, and each takes part, the distance of each is rounding; that of
  an image outside their span is not.

  Args:
    layer: the received gradient of a fully connected first layer.
    images: [n, height, width, channels].

  Returns:
    ||(I - P) [x; 1]|| / ||[x; 1]||, [n].
  """
  columns = _columns(images)
  left = columns - _project(_matrix(layer), columns)
  return jnp.linalg.norm(left, axis=0) / jnp.linalg.norm(columns, axis=0)


def least_mismatch(layer: Layer, images: jax.Array, *, free: int = 0) -> jax.Array:
  """A lower bound on the mismatch of every task with these images, by the rank of gradients.

  The first layer's gradient G of a task of `images` and `free` others that one may choose
  lies in the span of the images but for a matrix of rank `free`, so that the singular values
  of (I - P) G after the first `free` remain (Eckart and Young).

  Args:
    layer: the received gradient of a fully connected first layer.
    images: [n, height, width, channels], such as M_s.
    free: number of further images, such as those of M_q.

  Returns:
    A lower bound of ||G(M) - G|| / ||G|| over all such tasks M, a scalar.
  """
  checks.whole('free', free, least=0)
  matrix = _matrix(layer)
  left = jnp.linalg.svd(matrix - _project(_columns(images), matrix), compute_uv=False)[free:]
  return jnp.linalg.norm(left) / jnp.linalg.norm(matrix)


def relu_imbalance(params: tuple[Layer, Layer], gradient: tuple[Layer, Layer]) -> jax.Array:
  """A lower bound on the distance of a vector from all gradients of a one-layer ReLU network.

  For unit j, <W1_j, dW1_j> + b1_j db1_j = <W2_j, dW2_j> in the gradient on any data.

  Args:
    params: the hidden and the output layer.
    gradient: the vector, such as g' of `query_gradient` at its theta'.

  Returns:
    A scalar bound from below of ||grad L(params; M_q) - gradient|| / ||gradient||, any M_q.
  """
  (into, outof), (d_into, d_outof) = (
    (_matrix(first), second['kernel']) for first, second in (params, gradient)
  )
  along = (into * d_into).sum(axis=0) - (outof * d_outof).sum(axis=1)
  squared = (into**2).sum(axis=0) + (outof**2).sum(axis=1)
  return jnp.sqrt((along**2 / squared).sum()) / jnp.linalg.norm(ravel_pytree(gradient)[0])


def _matrix(layer: Layer) -> jax.Array:
  """The layer's weights with its biases as last row, [inputs + 1, width]."""
  return jnp.vstack([layer['kernel'], layer['bias']])


def _columns(images: jax.Array) -> jax.Array:
  """[x; 1] of each image as a column, [inputs + 1, n]."""
  return jnp.vstack([images.reshape(len(images), -1).T, jnp.ones((1, len(images)))])


def _project(matrix: jax.Array, columns: jax.Array) -> jax.Array:
  """The projections of `columns` on the span of the columns of `matrix`."""
  basis, singular_values, _ = jnp.linalg.svd(matrix, full_matrices=False)
  noise = singular_values[0] * max(matrix.shape) * jnp.finfo(matrix.dtype).eps
  basis = jnp.where(singular_values > noise, basis, 0)
  return basis @ (basis.T @ columns)
