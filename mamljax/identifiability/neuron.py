"""The single neuron of the appendix: its derivatives, and equation 8 in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.types import Batch

Scalar = float | jax.Array


class NeuronQuery(NamedTuple):
  """The query example of a single neuron.

  Attributes:
    x, y: input and target, scalars; without meaning unless `exists`.
    exists: whether there is one; not said of a singular matrix, where it is False.
  """

  x: jax.Array
  y: jax.Array
  exists: jax.Array


def neuron_loss(w: jax.Array, batch: Batch) -> jax.Array:
  """The mean of J = (ReLU(a x + b) - y)^2 over one-pixel images x and targets y; w = [a, b]."""
  return ((jax.nn.relu(w[0] * batch.images.ravel() + w[1]) - batch.labels) ** 2).mean()


def neuron_gradient(w: jax.Array, x: Scalar, y: Scalar) -> jax.Array:
  """The gradient of J in w (equation 11): 2 (z - y) [x, 1] where z = a x + b > 0, else zeros.

  Equation 11 switches it by f_z; (12) prints a definition of f_y, of the target's sign.
  """
  z = w[0] * x + w[1]
  return jnp.where(z > 0, 2 * (z - y), 0) * jnp.array([x, 1.0])


def neuron_hessian(w: jax.Array, x: Scalar) -> jax.Array:
  """The Hessian of J in w: 2 [[x^2, x], [x, 1]] where a x + b > 0, else zeros.

  Equation 13 prints 2 [[x (x - y), x (1 - y)], [x - y, 1 - y]] f_z(1). It cannot be one:
  second derivatives commute, and this is symmetric only if y = 0 or x = 1. The target has
  stayed where z - y was differentiated, to x in a and to 1 in b. The right one is free of y;
  its eigenvalues are 0 and 2 (x^2 + 1).
  """
  example = jnp.array([x, 1.0])
  return jnp.where(w[0] * x + w[1] > 0, 2.0, 0.0) * jnp.outer(example, example)


def match_neuron(
  w: jax.Array, gradient: jax.Array, x: Scalar, y: Scalar, learning_rate: Scalar
) -> NeuronQuery:
  """The query example that sends `gradient` after one step on the support example (x, y).

  In closed form: a query example sends 2 r [x_q, 1] with error r if it is on the active side
  and nothing if not, so that x_q = g'_1 / g'_2 and r = g'_2 / 2, where g' = (I - alpha H)^-1 g.
  It is the only one, unless g' = 0. None exists if x_q is on the inactive side at theta', or
  if g'_2 = 0 but not g'_1. The matrix is singular if 2 alpha (x^2 + 1) = 1.

  Args:
    w: [a, b].
    gradient: [2], the received g.
    x: input of the other support example M_s.
    y: target of the other support example.
    learning_rate: alpha.
  """
  theta = w - learning_rate * neuron_gradient(w, x, y)
  matrix = jnp.eye(2) - learning_rate * neuron_hessian(w, x)
  invertible = jnp.linalg.det(matrix) != 0
  # A singular matrix is replaced, so that no NaN arises.
  slope, offset = jnp.linalg.solve(jnp.where(invertible, matrix, jnp.eye(2)), gradient)
  found = offset != 0
  query_x = jnp.where(found, slope / jnp.where(found, offset, 1), 0)
  z = theta[0] * query_x + theta[1]
  exists = invertible & jnp.where(found, z > 0, slope == 0)
  return NeuronQuery(query_x, jax.nn.relu(z) - offset / 2, exists)
