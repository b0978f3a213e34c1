"""Support sets of public images that stand in for the unknown one, and their covariance."""

import jax
import jax.numpy as jnp

from mamljax.attacks.observation import Knowledge, Observation


def slot_references(knowledge: Knowledge, observation: Observation) -> jax.Array:
  """The references of each slot's class, float32 [ways, each, height, width, channels].

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  if knowledge.references is None or observation.classes is None:
    raise ValueError('shadows cannot be drawn without references and classes')
  pool = knowledge.references
  each = pool.images.shape[0] // pool.counts.shape[0]
  rows = pool.starts[observation.classes][:, None] + jnp.arange(each)
  return pool.images[rows].astype(jnp.float32) / 255


def draw_shadow(key: jax.Array, knowledge: Knowledge, observation: Observation) -> jax.Array:
  """A support set of references, [n, height, width, channels], no image twice.

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  if knowledge.references is None or observation.classes is None:
    raise ValueError('shadows cannot be drawn without references and classes')
  pool, labels = knowledge.references, observation.support_labels
  each = pool.images.shape[0] // pool.counts.shape[0]
  place = jnp.arange(len(labels))
  nth = jnp.sum((labels == labels[:, None]) & (place < place[:, None]), axis=1)
  keys = jax.random.split(key, len(observation.classes))
  orders = jax.vmap(lambda key: jax.random.permutation(key, each)[: len(labels)])(keys)
  rows = pool.starts[observation.classes[labels]] + orders[labels, nth]
  return pool.images[rows].astype(jnp.float32) / 255


def solve_ridged(rows: jax.Array, vector: jax.Array, ridge: float | jax.Array) -> jax.Array:
  """(A'A + r I)^-1 v: what the covariance A'A, with a ridge, whitens, applied twice.

  Solved among the rows, as if there were fewer than columns (Woodbury's identity).

  Args:
    rows: A, [rows, size].
    vector: v, [size].
    ridge: r, positive.
  """
  system = rows @ rows.T + ridge * jnp.eye(len(rows))
  # Without LAPACK, a batch of whose calls may wait for itself on several CPU devices.
  solved = jax.scipy.sparse.linalg.cg(
    lambda x: system @ x, rows @ vector, maxiter=200, tol=1e-6
  )[0]
  return (vector - solved @ rows) / ridge
