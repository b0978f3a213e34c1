"""Logistic regression on what an attack knows the truth of, in a trace."""

import jax
import jax.numpy as jnp

from mamljax.linear_algebra import product

_STEPS = 500  # after which nothing moves
_FREE = 1e-8  # the penalty of the bias, which only keeps a factor finite


def regress(
  rows: jax.Array, signs: jax.Array, told: jax.Array, penalty: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The weights and the bias of a logistic regression; NaN if most rows are not told.

  Steps by a bound of all Hessians, X'X / 4, never go up (Boehning and Lindsay, 1988).

  Args:
    rows: [rows, evidence]; zeros for those that are not told.
    signs: 1 for a member, -1 for others, [rows].
    told: booleans, [rows].
    penalty: of the squared weights, for each row.
  """
  total = jnp.maximum(told.sum(), 1)
  rows = jnp.column_stack([rows, told.astype(rows.dtype)])
  penalties = jnp.full(rows.shape[1], penalty).at[-1].set(_FREE)
  bound = product(rows.T, rows) / (4 * total) + jnp.diag(penalties)
  factor = jax.scipy.linalg.cho_factor(bound)

  def step(_: int, weights: jax.Array) -> jax.Array:
    odds = signs * product(rows, weights)
    slopes = product(rows.T, signs * jax.nn.sigmoid(-odds)) / total - penalties * weights
    return weights + jax.scipy.linalg.cho_solve(factor, slopes)

  weights = jax.lax.fori_loop(0, _STEPS, step, jnp.zeros(rows.shape[1]))
  weights = jnp.where(2 * told.sum() > len(told), weights, jnp.nan)
  return weights[:-1], weights[-1]
