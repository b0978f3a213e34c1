"""Distribution of the gradients of single images at w, learned from public images.

Each class of references is put in each slot. Within a class and slot gradients spread around
a mean; the spread is pooled, and its inverse square root whitens: afterwards the gradients of
a class in a slot have about the identity for covariance.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.attacks.gaussian.sketches import Sketch, label_gradients, make_sketch
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_ways
from mamljax.images import as_floats
from mamljax.linear_algebra import make_whitener
from mamljax.slots import check_ways
from mamljax.types import Batch, Params

_SCALED_BY = 32  # images of a class that say how much each number varies
_AT_ONCE = 16  # images whose gradients are computed together
_SWEEPS = 3  # of the classes over all slots; more change nothing


class Prepared(NamedTuple):
  """The distribution of gradients, as the references have it.

  Attributes:
    knowledge: that of the adversary, but for the references.
    sketch: shortens gradients.
    whitener: [size, size], to be applied to a sketch.
    means: whitened, [classes, ways, size].
  """

  knowledge: Knowledge
  sketch: Sketch
  whitener: jax.Array
  means: jax.Array

  def whiten(self, gradient: Params) -> jax.Array:
    """A gradient's whitened sketch, [size]."""
    return self.whitener @ self.sketch(gradient)


def learn_references(
  key: jax.Array,
  knowledge: Knowledge,
  *,
  sketch: int,
  ridge: float | jax.Array,
) -> Prepared:
  """The distribution of the gradients of single images at w.

  Args:
    key: a random key, for the sketch.
    knowledge: its references are class after class, equally many of each and at least two;
      its ways are known.
    sketch: numbers that are kept of a gradient.
    ridge: added to the covariance, in units of its mean variance.

  Raises:
    ValueError: if there are no references, or not equally many of each class, or no ways.
  """
  ways = known_ways(knowledge)
  if knowledge.references is None:
    raise ValueError('the distribution of gradients cannot be learned without references')
  pool = knowledge.references
  checks.references(pool)
  images = as_floats(pool.images.reshape(len(pool.counts), -1, *pool.images.shape[1:]))
  check_ways(
    knowledge.loss_fn, knowledge.params, images.reshape(-1, *images.shape[2:]), ways=ways
  )
  gradients = functools.partial(label_gradients, knowledge.loss_fn, knowledge.params, ways=ways)
  shorten = make_sketch(key, _deviation(gradients, images[:, :_SCALED_BY]), size=sketch)

  def describe(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean [ways, size] and the scatter [size, size] of a class."""
    seen = jax.lax.map(lambda x: jax.vmap(shorten)(gradients(x)), images, batch_size=_AT_ONCE)
    mean = seen.mean(axis=0)
    apart = (seen - mean).reshape(-1, mean.shape[-1])
    return mean, apart.T @ apart

  def add(total: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean, scatter = describe(images)
    return total + scatter, mean

  size = shorten.order.shape[1]
  scatter, means = jax.lax.scan(add, jnp.zeros((size, size)), images)
  covariance = scatter / (images.shape[0] * (images.shape[1] - 1) * ways)
  freedom = images.shape[0] * (images.shape[1] - 1) * ways
  whitener = make_whitener(covariance, ridge, freedom=freedom)
  known = dataclasses.replace(knowledge, references=None)
  return Prepared(known, shorten, whitener, means @ whitener.T)


def labelled(known: Knowledge, candidate: Candidate) -> Params:
  """The gradient of the candidate alone, in its slot."""
  single = Batch(candidate.image[None], candidate.label[None])
  return jax.grad(known.loss_fn)(known.params, single)


def expected(
  prepared: Prepared, observation: Observation, received: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The classes of the slots [ways], and the whitened mean of the gradients of such sets.

  Where the classes are not known they are those whose mean comes nearest to the received
  gradient, in the whitened distance; slot by slot, each given the others.
  """
  total, ways, _ = prepared.means.shape
  shares = jnp.bincount(observation.query_labels, length=ways) / len(observation.query_labels)
  slots = jnp.arange(ways)
  parts = prepared.means * shares[:, None]
  if observation.classes is not None:
    return observation.classes, parts[observation.classes, slots].sum(axis=0)

  def choose(step: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    classes, sum_ = state
    slot = step % ways
    others = sum_ - parts[classes[slot], slot]
    left = jnp.sum((received - others - parts[:, slot]) ** 2, axis=-1)
    taken = jnp.any((classes == jnp.arange(total)[:, None]) & (slots != slot), axis=1)
    best = jnp.argmin(jnp.where(taken & (step >= ways), jnp.inf, left))
    return classes.at[slot].set(best), others + parts[best, slot]

  average = parts.mean(axis=0)
  far = jnp.sum((received - average.sum(axis=0) + average - parts) ** 2, axis=-1)
  classes = far.argmin(axis=0)
  start = classes, parts[classes, slots].sum(axis=0)
  return jax.lax.fori_loop(0, _SWEEPS * ways, choose, start)


def _deviation(gradients, images: jax.Array) -> jax.Array:
  """Standard deviation of each number of a gradient within a class and slot, [parameters]."""

  def variance(images: jax.Array) -> jax.Array:
    flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])
    seen = jax.lax.map(lambda x: flat(gradients(x)), images, batch_size=_AT_ONCE)
    return seen.var(axis=0).mean(axis=0)

  return jnp.sqrt(jax.lax.map(variance, images).mean(axis=0))
