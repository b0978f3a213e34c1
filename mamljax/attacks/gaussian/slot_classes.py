"""Classes of the slots, inferred from the query images and public ones where nobody tells.

Kernel least squares on the references predicts, for any image, which of 1 and 0 each class is:
an estimate of the probability that the image is of it. The slots are given different classes,
as a task's are, such that most query images are expected to be of their slot's. (A Gaussian of
each class about its mean, all of one covariance, is right in fewer slots.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from optax.assignment import hungarian_algorithm

from mamljax import checks
from mamljax.attacks.knowledge import Knowledge, Observation, known_ways
from mamljax.images import as_floats
from mamljax.linear_algebra import product, solve_positive
from mamljax.types import Pool

# Of a kernel that is 1 for equal images. A tenth or ten times as much changes little.
_RIDGE = 0.1


class Prepared(NamedTuple):
  """Knowledge before any gradient arrives.

  Attributes:
    knowledge: that of the adversary.
    weights: [references, classes], the vote of each reference on images like it, or None
      where the adversary is told the classes.
  """

  knowledge: Knowledge
  weights: jax.Array | None


def learn_classes(knowledge: Knowledge) -> Prepared:
  """Learns from references how classes are told apart, if these are withheld.

  Its cost is that of solving a system of as many equations as there are references.

  Args:
    knowledge: its references are class after class, equally many of each.

  Raises:
    ValueError: if the classes are withheld and there are no references, or these are not
      equally many of each class.
  """
  if knowledge.references is not None:
    checks.references(knowledge.references)
  if 'classes' not in knowledge.withheld:
    return Prepared(knowledge, None)
  if knowledge.references is None:
    raise ValueError('classes cannot be told apart without references')
  images, total = _pixels(knowledge.references), len(knowledge.references.counts)
  is_class = jnp.repeat(jnp.eye(total), len(images) // total, axis=0)
  system = _kernel(images, images) + _RIDGE * jnp.eye(len(images))
  return Prepared(knowledge, solve_positive(system, is_class - 1 / total))


def find_classes(prepared: Prepared, observation: Observation) -> jax.Array:
  """The class of each slot, integers [ways], as told or as inferred.

  Inferred ones are all different, and depend on the query set alone: what the observation says
  of classes is then not looked at.

  Raises:
    ValueError: if the classes are neither told nor withheld, or to be inferred without the
      query set or for more slots than there are classes.
  """
  pool, weights = prepared.knowledge.references, prepared.weights
  if pool is None or weights is None:
    if observation.classes is None:
      raise ValueError('the classes of slots are not told, and not withheld from the adversary')
    return observation.classes
  if observation.query_set is None:
    raise ValueError('the classes of slots cannot be inferred without the query set')
  ways = known_ways(prepared.knowledge)
  if ways > weights.shape[1]:
    raise ValueError(f'{ways} slots cannot hold different ones of {weights.shape[1]} classes')
  images, labels = observation.query_set
  likely = product(_kernel(images, _pixels(pool)), weights)
  of_slot = jax.ops.segment_sum(likely, labels, num_segments=ways)
  return assign(of_slot)


def assign(value: jax.Array) -> jax.Array:
  """A different column for each row, such that their sum is the highest: integers [rows].

  Args:
    value: [rows, columns], at least as many columns as rows.
  """
  rows, columns = hungarian_algorithm(-value)
  return jnp.zeros(len(value), columns.dtype).at[rows].set(columns)


def _kernel(images: jax.Array, known: jax.Array) -> jax.Array:
  """exp(-|x - y|^2 / v) of images x and references y, whose variance is v [images, known]."""
  images, known = (x.reshape(len(x), -1) for x in (images, known))
  centre = known.mean(axis=0)  # taken off, since it would be heard in the rounding
  images, known = images - centre, known - centre
  sizes, known_sizes = (jnp.sum(x**2, axis=1) for x in (images, known))
  distance = sizes[:, None] + known_sizes - 2 * product(images, known.T)
  return jnp.exp(-distance / known_sizes.mean())


def _pixels(pool: Pool) -> jax.Array:
  """The images of a pool, as floats."""
  return as_floats(pool.images)
