"""Numerical solution of equation 8: the query set with which a task sends a given gradient."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.maml import Inner, adapt
from mamljax.types import Batch, LossFn, Params

ROUNDING = 1e-13  # a relative mismatch that is rounding in float64


class Match(NamedTuple):
  """The query set that fits a gradient best.

  Attributes:
    query: the images, in (0, 1), and their labels.
    mismatch: ||g(M) - g|| / ||g||, a scalar; only rounding if the set sends the gradient.
    invertibility: the smallest singular value of d theta' / d w, which is not 0 by the first
      condition of the proposition.
  """

  query: Batch
  mismatch: jax.Array
  invertibility: jax.Array


def query_gradient(
  loss_fn: LossFn, params: Params, gradient: Params, support: Batch, inner: Inner
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
  inner: Inner,
  *,
  iterations: int = 100,
) -> Match:
  """The query set that, with another support set, comes closest to a received gradient.

  Solves equation 8 by the Levenberg-Marquardt method for the logits of the pixels, and for the
  targets if labels are real numbers. It finds a local minimum: a mismatch above rounding does
  not prove that no query set exists, as `least_mismatch` does.

  For a smooth network with h hidden units and c classes it takes n query images with
  n h >= h^2 + h + (h + 1)(c - 1). Images reach the loss only through n h products with the
  weights of the first layer. The right-hand side counts the equations for these: the gradient
  of the first layer times its weights, that of its biases, and that of the last layer.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w; a matrix of its size squared is built.
    gradient: the received g, a pytree like `params`.
    support: the other support set M_s.
    start: images to start from, clipped to 0.01..0.99, and labels; integer labels are kept.
    inner: the inner loop.
    iterations: the largest number of Levenberg-Marquardt steps.
  """
  checks.whole('iterations', iterations, least=0)
  theta, matrix = _adaptation(loss_fn, params, support, inner)
  received = ravel_pytree(gradient)[0]
  logits = jax.scipy.special.logit(start.images.clip(0.01, 0.99))
  targets = [start.labels] if jnp.isdtype(start.labels.dtype, 'real floating') else []
  unknowns, unravel = ravel_pytree([logits, *targets])

  def query(x: jax.Array) -> Batch:
    logits, *targets = unravel(x)
    return Batch(jax.nn.sigmoid(logits), *(targets or [start.labels]))

  def residuals(x: jax.Array) -> jax.Array:
    sent = matrix.T @ ravel_pytree(jax.grad(loss_fn)(theta, query(x)))[0]
    return (sent - received) / jnp.linalg.norm(received)

  solution = _levenberg_marquardt(residuals, unknowns, iterations=iterations)
  singular_values = jnp.linalg.svd(matrix, compute_uv=False)
  return Match(query(solution), jnp.linalg.norm(residuals(solution)), singular_values[-1])


def _adaptation(
  loss_fn: LossFn, params: Params, support: Batch, inner: Inner
) -> tuple[Params, jax.Array]:
  """The adapted parameters theta', and the matrix d theta' / d w [parameters, parameters]."""
  flat, unravel = ravel_pytree(params)

  def adapted(w: jax.Array) -> jax.Array:
    return ravel_pytree(adapt(loss_fn, unravel(w), support, inner))[0]

  return unravel(adapted(flat)), jax.jacfwd(adapted)(flat)


def _levenberg_marquardt(
  residuals: Callable[[jax.Array], jax.Array], start: jax.Array, *, iterations: int
) -> jax.Array:
  """Minimises the norm of residuals (Nocedal and Wright, Numerical Optimization, 10.3)."""
  start_residual = residuals(start)
  jacobian = (jax.jacfwd if start.size < start_residual.size else jax.jacrev)(residuals)

  def is_unfinished(state: tuple[jax.Array, ...]) -> jax.Array:
    count, _, residual, _ = state
    return (count < iterations) & (jnp.linalg.norm(residual) > ROUNDING)

  def step(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    count, x, residual, damping = state
    # By the SVD, (J' J + damping)^-1 J' is stable for any shape and any rank of J.
    u, s, vt = jnp.linalg.svd(jacobian(x), full_matrices=False)
    proposal = x - (s / (s**2 + damping) * (residual @ u)) @ vt
    proposed_residual = residuals(proposal)
    # False where the proposal gives NaN.
    is_better = jnp.linalg.norm(proposed_residual) < jnp.linalg.norm(residual)
    x = jnp.where(is_better, proposal, x)
    residual = jnp.where(is_better, proposed_residual, residual)
    return count + 1, x, residual, damping * jnp.where(is_better, 0.2, 5.0)

  state = jnp.zeros((), int), start, start_residual, jnp.asarray(1e-3, start.dtype)
  return jax.lax.while_loop(is_unfinished, step, state)[1]
