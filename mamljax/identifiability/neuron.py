"""The single neuron of the appendix: its derivatives, and equation 8 in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.types import Batch

Scalar = float | jax.Array


class NeuronQuery(NamedTuple):
  """The query example of a single neuron.

  Attributes:
    x: the input, a scalar; without meaning unless `exists`.
    y: the target, a scalar; without meaning unless `exists`.
    exists: a boolean; False, too, if the matrix of equation 8 is singular, where the question
      is left open.
  """

  x: jax.Array
  y: jax.Array
  exists: jax.Array


def neuron_loss(w: jax.Array, batch: Batch) -> jax.Array:
  """The mean of J = (ReLU(a x + b) - y)^2 over one-pixel images x and targets y; w = [a, b]."""
  return ((jax.nn.relu(w[0] * batch.images.ravel() + w[1]) - batch.labels) ** 2).mean()


def neuron_gradient(w: jax.Array, x: Scalar, y: Scalar) -> jax.Array:
  """The gradient of J in w (equation 11): 2 (z - y) [x, 1] where z = a x + b > 0, else zeros.

  Equation 11 has the switch f_z, but equation 12 defines f_y, of the sign of the target.
  """
  z = w[0] * x + w[1]
  return jnp.where(z > 0, 2 * (z - y), 0) * jnp.array([x, 1.0])


def neuron_hessian(w: jax.Array, x: Scalar) -> jax.Array:
  """The Hessian of J in w: 2 [[x^2, x], [x, 1]] where a x + b > 0, else zeros.

  Equation 13 prints 2 [[x (x - y), x (1 - y)], [x - y, 1 - y]] f_z(1), which is symmetric only
  if y = 0 or x = 1 and so no Hessian: the derivatives of z - y are x in a and 1 in b, but the
  target was kept in both. The right matrix is free of y; its eigenvalues are 0 and
  2 (x^2 + 1).
  """
  example = jnp.array([x, 1.0])
  return jnp.where(w[0] * x + w[1] > 0, 2.0, 0.0) * jnp.outer(example, example)


def match_neuron(
  w: jax.Array, gradient: jax.Array, x: Scalar, y: Scalar, learning_rate: Scalar
) -> NeuronQuery:
  """The query example that sends `gradient` after one step on the support example (x, y).

  A query example on the active side sends 2 r [x_q, 1], with r its error, and one on the
  inactive side sends zeros. So x_q = g'_1 / g'_2 and r = g'_2 / 2, where
  g' = (I - alpha H)^-1 g. The example is the only one, unless g' = 0. None exists if x_q is on
  the inactive side at theta', or if g'_2 = 0 but not g'_1. The matrix is singular if
  2 alpha (x^2 + 1) = 1.

  Args:
    w: the parameters [a, b].
    gradient: the received g, [2].
    x: input of the other support example M_s.
    y: target of the other support example.
    learning_rate: step size alpha of the inner step.
  """
  theta = w - learning_rate * neuron_gradient(w, x, y)
  matrix = jnp.eye(2) - learning_rate * neuron_hessian(w, x)
  invertible = jnp.linalg.det(matrix) != 0
  # A singular matrix is replaced, so that its solution is not NaN.
  slope, offset = jnp.linalg.solve(jnp.where(invertible, matrix, jnp.eye(2)), gradient)
  has_error = offset != 0
  query_x = jnp.where(has_error, slope / jnp.where(has_error, offset, 1), 0)
  z = theta[0] * query_x + theta[1]
  exists = invertible & jnp.where(has_error, z > 0, slope == 0)
  return NeuronQuery(query_x, jax.nn.relu(z) - offset / 2, exists)
