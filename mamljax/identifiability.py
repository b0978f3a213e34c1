"""What a meta-gradient determines: Proposition 3.1 and the appendix, put right.

The proposition says that for another support set M_s there is a query set M_q with which
{M_s, M_q} sends the same gradient g. Its proof (equation 8) asks for

    grad L(theta'; M_q) = g' = (d theta' / d w)^-T g,

where theta' is w adapted on M_s; with one inner step the matrix is I - alpha H(w; M_s) (the
paper prints a plus sign and no rate). It then takes M_q from g' by a result on gradient
inversion, which finds the input behind what is known to be the gradient of one input. But
not every vector is a gradient, whatever its entries:

- Rank. The gradient of a fully connected first layer is a sum over images of [x; 1] delta^T:
  that of n query images has rank n at most (`least_mismatch`).
- Row space. The loss after any number of inner steps depends on that layer through its
  products with the task's images alone, so they span its part of g. If they are no more
  than its units, and fewer than its inputs, this tells them (`distance_to_row_space`).
- Balance. To scale a ReLU unit's weights up and those that leave it down changes no loss,
  so every gradient is orthogonal to that direction (`relu_imbalance`).

Where none of these stands in the way, as for the appendix's neuron (`match_neuron`) or a
narrow, smooth network (`match_network`), M_q can exist. All is meant for float64.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.maml import InnerLoop, adapt
from mamljax.types import Batch, LossFn, Params

ROUNDING = 1e-13  # a mismatch at which there is nothing left to improve

Scalar = float | jax.Array
Layer = Mapping[str, jax.Array]  # a flax Dense layer: kernel [inputs, width], bias [width]


class NeuronQuery(NamedTuple):
  """The query example of a single neuron.

  Attributes:
    x, y: input and target, scalars; without meaning unless `exists`.
    exists: whether there is one; not said of a singular matrix, where it is False.
  """

  x: jax.Array
  y: jax.Array
  exists: jax.Array


class Match(NamedTuple):
  """The query set that fits a gradient best.

  Attributes:
    query: the images found, in (0, 1), and their labels.
    mismatch: ||g(M) - g|| / ||g||, a scalar; rounding only if the set is an alternative.
    invertibility: the smallest singular value of d theta' / d w; the proposition's first
      condition is that it is not 0.
  """

  query: Batch
  mismatch: jax.Array
  invertibility: jax.Array


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
    x, y: the other support example M_s.
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


def query_gradient(
  loss_fn: LossFn, params: Params, gradient: Params, support: Batch, inner: InnerLoop
) -> tuple[Params, Params]:
  """What the query set must send for the task to send `gradient`: theta' and g' (equation 8).

  Args:
    loss_fn, params, inner: as in `mamljax.maml`; builds a matrix of parameters squared.
    gradient: the received g, a pytree like `params`.
    support: the other support set M_s.

  Returns:
    The parameters adapted on M_s, and (d theta' / d w)^-T g; pytrees like `params`.
  """
  theta, matrix = _adaptation(loss_fn, params, support, inner)
  flat, unravel = ravel_pytree(gradient)
  return theta, unravel(jnp.linalg.solve(matrix.T, flat))


def match_network(
  loss_fn: LossFn,
  params: Params,
  gradient: Params,
  support: Batch,
  start: Batch,
  inner: InnerLoop,
  *,
  iterations: int = 100,
) -> Match:
  """The query set that, with another support set, sends a gradient nearest to the received.

  Equation 8 by the Levenberg-Marquardt method on the logits of the pixels, and on the targets
  if labels are real numbers. It finds a local minimum: a mismatch that is not rounding proves
  nothing, but see `least_mismatch`.

  To match a smooth network with h hidden units and c classes takes n query images with
  n h >= h^2 + h + (h + 1)(c - 1), since they reach the loss through n h products with the
  first layer's weights alone: its gradient times these weights, that of its biases and that
  of the last layer are as many equations as on the right.

  Args:
    loss_fn, params, gradient, support, inner: as in `query_gradient`.
    start: images to start from, clipped to 0.01..0.99, and labels; integers are kept.
    iterations: the most that are made.
  """
  checks.whole('iterations', iterations, least=0)
  theta, matrix = _adaptation(loss_fn, params, support, inner)
  received = ravel_pytree(gradient)[0]
  logits = jax.scipy.special.logit(start.images.clip(0.01, 0.99))
  targets = [start.labels] if jnp.isdtype(start.labels.dtype, 'real floating') else []
  free, unravel = ravel_pytree([logits, *targets])

  def query(x: jax.Array) -> Batch:
    logits, *targets = unravel(x)
    return Batch(jax.nn.sigmoid(logits), *(targets or [start.labels]))

  def residuals(x: jax.Array) -> jax.Array:
    sent = matrix.T @ ravel_pytree(jax.grad(loss_fn)(theta, query(x)))[0]
    return (sent - received) / jnp.linalg.norm(received)

  found = _levenberg_marquardt(residuals, free, iterations=iterations)
  singular_values = jnp.linalg.svd(matrix, compute_uv=False)
  return Match(query(found), jnp.linalg.norm(residuals(found)), singular_values[-1])


def distance_to_row_space(layer: Layer, images: jax.Array) -> jax.Array:
  """How far images are from being among those that made a gradient.

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
  """What no task with these images can do away with, however it adapts and is labelled.

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
  """How far a vector is from being a gradient of a network with one layer of ReLU units.

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


def _adaptation(
  loss_fn: LossFn, params: Params, support: Batch, inner: InnerLoop
) -> tuple[Params, jax.Array]:
  """theta' and d theta' / d w, [parameters, parameters]."""
  flat, unravel = ravel_pytree(params)

  def adapted(w: jax.Array) -> jax.Array:
    return ravel_pytree(adapt(loss_fn, unravel(w), support, inner))[0]

  return unravel(adapted(flat)), jax.jacfwd(adapted)(flat)


def _levenberg_marquardt(
  residuals: Callable[[jax.Array], jax.Array], start: jax.Array, *, iterations: int
) -> jax.Array:
  """Minimises the norm of the residuals (Nocedal and Wright, Numerical Optimization, 10.3)."""
  at = residuals(start)
  jacobian = (jax.jacfwd if start.size < at.size else jax.jacrev)(residuals)

  def unfinished(state: tuple[jax.Array, ...]) -> jax.Array:
    count, _, at, _ = state
    return (count < iterations) & (jnp.linalg.norm(at) > ROUNDING)

  def step(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    count, x, at, damping = state
    # By the SVD, (J' J + damping)^-1 J' is stable however J is shaped and whatever its rank.
    u, s, vt = jnp.linalg.svd(jacobian(x), full_matrices=False)
    new = x - (s / (s**2 + damping) * (at @ u)) @ vt
    new_at = residuals(new)
    better = jnp.linalg.norm(new_at) < jnp.linalg.norm(at)  # not so for NaN
    x, at = jnp.where(better, new, x), jnp.where(better, new_at, at)
    return count + 1, x, at, damping * jnp.where(better, 0.2, 5.0)

  state = jnp.zeros((), int), start, at, jnp.asarray(1e-3, start.dtype)
  return jax.lax.while_loop(unfinished, step, state)[1]


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
