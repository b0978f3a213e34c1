"""Products, solves and whitening of covariances, as exact on every device as on a CPU."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks

# Less than float32's precision would drown small directions in the rounding of large ones.
product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


@jax.custom_batching.sequential_vmap
def solve_positive(system: jax.Array, vectors: jax.Array) -> jax.Array:
  """The solution of a symmetric positive definite system, [rows] or [rows, ...].

  One after another: a batch of LAPACK's calls may wait for itself on several CPU devices.
  """
  return jax.scipy.linalg.solve(system, vectors, assume_a='pos')


@jax.custom_batching.sequential_vmap
def _cholesky(system: jax.Array) -> jax.Array:
  """The lower factor of a symmetric positive definite matrix; one after another, as above."""
  return jax.lax.linalg.cholesky(system, symmetrize_input=False)


@jax.custom_batching.sequential_vmap
def _solve_factored(factor: jax.Array, vectors: jax.Array) -> jax.Array:
  """The solution of a system by its lower factor, [rows] or [rows, ...]."""
  return jax.scipy.linalg.cho_solve((factor, True), vectors)


def make_whitener(
  covariance: jax.Array, ridge: float | jax.Array, *, freedom: int
) -> jax.Array:
  """The inverse of a covariance's Cholesky factor, which whitens, [size, size].

  Where nothing varies there is nothing to whiten: the identity.

  Args:
    covariance: [size, size].
    ridge: added to it, in units of its mean variance.
    freedom: the number of independent samples that it is the mean of.

  Raises:
    InputError: if it is singular for want of samples, and there is no ridge.
  """
  size = len(covariance)
  if freedom < size:
    checks.above_zero('ridge', ridge)
  total = jnp.trace(covariance)
  ridged = covariance + jnp.where(total == 0, 1, ridge * total / size) * jnp.eye(size)
  factor = jnp.linalg.cholesky(ridged)
  return jax.scipy.linalg.solve_triangular(factor, jnp.eye(size), lower=True)


class LowRankPlusDiagonal(NamedTuple):
  """A covariance C = A'A + diag(r), of few rows A, in the form that Woodbury's identity solves.

  Attributes:
    weighed: A diag(r)^-1, [rows, size].
    factor: the lower factor of I + A diag(r)^-1 A', by which any number of vectors are solved,
      [rows, rows].
    diagonal: r, one for all numbers or [size].
    silent: the numbers that say nothing, booleans [size].
  """

  weighed: jax.Array
  factor: jax.Array
  diagonal: jax.Array
  silent: jax.Array

  def solve(self, vectors: jax.Array) -> jax.Array:
    """C^-1 v of one vector [size], or of several [..., size]."""
    plain = jnp.where(self.silent, 0, vectors / self.diagonal)
    if not len(self.factor):
      return plain
    along = _solve_factored(self.factor, product(self.weighed, vectors.T))
    return plain - product(along.T, self.weighed)


def low_rank_plus_diagonal(rows: jax.Array, diagonal: float | jax.Array) -> LowRankPlusDiagonal:
  """The covariance A'A + diag(r).

  A column of zeros without a ridge r counts for nothing, as in the pseudo-inverse; one of
  numbers without a ridge, or a ridge that overflowed, makes NaN.

  Args:
    rows: A, [rows, size]; not many more than columns, since the system solved is theirs.
    diagonal: r, positive; one for all columns, or [size].
  """
  # A vector divided by infinity would be gone, and look like one that says nothing.
  diagonal = jnp.where(jnp.isfinite(diagonal), diagonal, jnp.nan)
  silent = (diagonal == 0) & (rows == 0).all(axis=0)
  weighed = jnp.where(silent, 0, rows / diagonal)
  system = product(weighed, rows.T) + jnp.eye(len(rows), dtype=rows.dtype)
  factor = _cholesky(system) if len(rows) else system
  return LowRankPlusDiagonal(weighed, factor, diagonal, silent)


def uncorrelated(whitened: jax.Array) -> LowRankPlusDiagonal:
  """The identity, as the covariance of a vector that was whitened, [size]."""
  return low_rank_plus_diagonal(jnp.zeros_like(whitened, shape=(0, len(whitened))), 1.0)
