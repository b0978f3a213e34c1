"""Support sets of public images that stand in for the unknown one, and their covariance."""

import jax
import jax.numpy as jnp

from mamljax.attacks.observation import Knowledge, Observation
from mamljax.types import Pool

AT_ONCE = 12  # images whose gradients are computed together: they fit a core's cache


def likelihood_ratio(
  whitened: jax.Array, signal: jax.Array, received: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The log-likelihood ratio in units of its standard deviation, response and energy.

  The ratio is 0 where the signal has no energy: a member would change nothing, or nothing
  varies that it could be measured by.

  Args:
    whitened: C^-1 d, [size].
    signal: d, what a member would add.
    received: g - m.
  """
  response, energy = whitened @ received, whitened @ signal
  some = jnp.maximum(energy, 1e-30)
  ratio = (response - some / 2) / jnp.sqrt(some)
  return jnp.where(energy <= 0, 0, ratio), response, some  # NaN is not at most 0


def about_mean(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The mean of rows [size], and the rows about it: 0 in a number that does not vary.

  Equal numbers differ from their mean by its rounding, which a covariance would take for a
  spread and its inverse for a scale.
  """
  beyond = beyond_rounding(rows - rows[0], rows)
  mean = beyond.mean(axis=0)
  return rows[0] + mean, beyond - mean


def beyond_rounding(changes: jax.Array, numbers: jax.Array) -> jax.Array:
  """Changes of numbers [rows, size]: 0 in a column that none moves by more than rounding."""
  rounding = 8 * jnp.finfo(numbers.dtype).eps * jnp.abs(numbers).max(axis=0)
  return jnp.where(jnp.abs(changes).max(axis=0) <= rounding, 0, changes)


def slot_references(knowledge: Knowledge, observation: Observation) -> jax.Array:
  """The references of each slot's class, float32 [ways, each, height, width, channels].

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  pool, starts, each = _known(knowledge, observation)
  return _pixels(pool, starts[:, None] + jnp.arange(each))


def draw_shadow(key: jax.Array, knowledge: Knowledge, observation: Observation) -> jax.Array:
  """A support set of references, [n, height, width, channels], no image twice.

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  pool, starts, each = _known(knowledge, observation)
  labels = observation.support_labels
  place = jnp.arange(len(labels))
  nth = jnp.sum((labels == labels[:, None]) & (place < place[:, None]), axis=1)
  keys = jax.random.split(key, len(starts))
  orders = jax.vmap(lambda key: jax.random.permutation(key, each)[: len(labels)])(keys)
  return _pixels(pool, starts[labels] + orders[labels, nth])


def _known(knowledge: Knowledge, observation: Observation) -> tuple[Pool, jax.Array, int]:
  """The references, the first row of each slot's class [ways], and how many a class has."""
  if knowledge.references is None or observation.classes is None:
    raise ValueError('shadows cannot be drawn without references and classes')
  pool = knowledge.references
  return pool, pool.starts[observation.classes], len(pool.images) // len(pool.counts)


def _pixels(pool: Pool, rows: jax.Array) -> jax.Array:
  """Images of a pool in [0, 1]."""
  return pool.images[rows].astype(jnp.float32) / 255


def solve_ridged(rows: jax.Array, vectors: jax.Array, ridge: float | jax.Array) -> jax.Array:
  """(A'A + diag r)^-1 v: what the covariance A'A, with a ridge, whitens, applied twice.

  Solved among the rows, as if there were fewer than columns (Woodbury's identity). A column of
  zeros without a ridge counts for nothing, as in the pseudo-inverse; one of numbers without a
  ridge, or a ridge that overflowed, makes NaN.

  Args:
    rows: A, [rows, size].
    vectors: v, [size], or several of them [..., size].
    ridge: r, positive; one for all columns, or [size].
  """
  ridge = jnp.where(jnp.isfinite(ridge), ridge, jnp.nan)  # what is divided by infinity is gone
  silent = (ridge == 0) & (rows == 0).all(axis=0)
  weighed, plain = (jnp.where(silent, 0, x / ridge) for x in (rows, vectors))
  system = weighed @ rows.T + jnp.eye(len(rows))
  return plain - solve_positive(system, weighed @ vectors.T).T @ weighed


@jax.custom_batching.sequential_vmap
def solve_positive(system: jax.Array, vectors: jax.Array) -> jax.Array:
  """The solution of a symmetric positive definite system, [rows] or [rows, ...].

  One after another: a batch of LAPACK's calls may wait for itself on several CPU devices.
  """
  return jax.scipy.linalg.solve(system, vectors, assume_a='pos')
