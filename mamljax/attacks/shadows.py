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

  Args:
    whitened: C^-1 d, [size].
    signal: d, what a member would add.
    received: g - m.
  """
  response, energy = whitened @ received, jnp.maximum(whitened @ signal, 1e-30)
  return (response - energy / 2) / jnp.sqrt(energy), response, energy


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

  Solved among the rows, as if there were fewer than columns (Woodbury's identity).

  Args:
    rows: A, [rows, size].
    vectors: v, [size], or several of them [..., size].
    ridge: r, positive; one for all columns, or [size].
  """
  weighed = rows / ridge
  system = weighed @ rows.T + jnp.eye(len(rows))
  return vectors / ridge - solve_positive(system, weighed @ vectors.T).T @ weighed


@jax.custom_batching.sequential_vmap
def solve_positive(system: jax.Array, vectors: jax.Array) -> jax.Array:
  """The solution of a symmetric positive definite system, [rows] or [rows, ...].

  One after another: a batch of LAPACK's calls may wait for itself on several CPU devices.
  """
  return jax.scipy.linalg.solve(system, vectors, assume_a='pos')
