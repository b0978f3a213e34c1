"""Shadows: support sets of public images that stand in for the unknown one."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mamljax.attacks import base
from mamljax.attacks.knowledge import Knowledge, Observation
from mamljax.images import as_floats
from mamljax.types import Pool

AT_ONCE = 12  # images whose gradients are computed together: they fit a core's cache


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of a filter by shadows.

  Attributes:
    response: d' C^-1 (g - m).
    energy: d' C^-1 d, how much the candidate would stand out.
    classes: of each slot, as known or inferred, [ways].
  """

  response: jax.Array
  energy: jax.Array
  classes: jax.Array


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


def per_image(function: Callable[..., jax.Array], images: jax.Array) -> jax.Array:
  """A function of an image and its slot, of images [ways, each, ...]."""
  ways, each = images.shape[:2]
  flat = images.reshape(-1, *images.shape[2:]), jnp.repeat(jnp.arange(ways), each)
  found = jax.lax.map(lambda one: function(*one), flat, batch_size=AT_ONCE)
  return found.reshape(ways, each, -1)


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
  """Some images of a pool, as floats."""
  return as_floats(pool.images[rows])
