"""The query set with which a network sends a received gradient: equation 8, solved."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.maml import InnerLoop, adapt
from mamljax.types import Batch, LossFn, Params

ROUNDING = 1e-13  # a mismatch at which there is nothing left to improve


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


def query_gradient(
  loss_fn: LossFn, params: Params, gradient: Params, support: Batch, inner: InnerLoop
) -> tuple[Params, Params]:
  """The gradient g' that a query set must have for its task to send `gradient` (equation 8).

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w; a matrix of its size squared is built.
    gradient: the received g, a pytree like `params`.
    support: the other support set M_s.
    inner: the inner loop.

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
    loss_fn: the task's loss.
    params: the meta-knowledge w; a matrix of its size squared is built.
    gradient: the received g, a pytree like `params`.
    support: the other support set M_s.
    start: images to start from, clipped to 0.01..0.99, and labels; integers are kept.
    inner: the inner loop.
    iterations: the largest number of Levenberg-Marquardt steps.
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


def _adaptation(
  loss_fn: LossFn, params: Params, support: Batch, inner: InnerLoop
) -> tuple[Params, jax.Array]:
  """The adapted parameters theta', and the matrix d theta' / d w [parameters, parameters]."""
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
