"""The paper's attack: start a reconstruction at the candidate and see whether it stays.

The images whose gradient matches the received one are sought by signed Adam (Geiping et
al., 2020). The candidate is the first guess of one slot of its class, noise that of all
others. A member is already right and hardly moves; a non-member is driven towards the
image that was there. The score is SSIM(x_0, x*) of the candidate's slot (section IV-C).

The query set is sought with the meta-knowledge in place of the adapted parameters
(equation 9); the support set by simulating the adaptation, with the query set known
(equation 10).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax.attacks.objectives import query_objective, support_objective
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.images import ssim
from mamljax.types import Batch, Task


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """How the reconstruction is run.

  Attributes:
    target: the set that is sought, a key of `REQUIRES`.
    iterations: optimiser steps (a length, so a change of it recompiles).
    learning_rate: Adam's step before its decay, in units of the pixel range.
    tv_weight: a in equation 9, the weight of the total variation.
    start_mean: mean of the Gaussian first guess of the slots without a candidate.
    start_scale: its standard deviation; guesses are clipped to [0, 1].
  """

  target: str = dataclasses.field(default='query', metadata={'static': True})
  iterations: int = dataclasses.field(default=100, metadata={'static': True})
  learning_rate: float | jax.Array = 0.1
  tv_weight: float | jax.Array = 0.03
  start_mean: float | jax.Array = 0.5
  start_scale: float | jax.Array = 0.25


class Info(NamedTuple):
  """What the attack saw on its way, for figures; no part of it knows the truth.

  Attributes:
    images: the reconstruction x*, [n, height, width, channels].
    reconstruction: the candidate's slot of it, [height, width, channels].
    losses: the objective before each step, [iterations].
  """

  images: jax.Array
  reconstruction: jax.Array
  losses: jax.Array


REQUIRES = {'query': frozenset[str](), 'support': frozenset({'query_set'})}


def prepare(key: jax.Array, knowledge: Knowledge) -> Knowledge:
  """Nothing to prepare: a reconstruction works from w and the gradient alone."""
  del key
  return knowledge


def score(
  key: jax.Array,
  prepared: Knowledge,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """How little the candidate changed: SSIM(x_0, x*), higher for a member.

  Args:
    key: a random key, for the first guess of the other slots.
    prepared: from `prepare`.
    observation: the received gradient and its slot labels.
    candidate: the image x_0 and its slot.
    options: how the reconstruction is run.

  Returns:
    A scalar, at most 1, and an `Info`.
  """
  sought = {'query': observation.query_labels, 'support': observation.support_labels}
  labels = sought[options.target]
  slot = jnp.argmax(labels == candidate.label)
  shape = (labels.shape[0], *candidate.image.shape)
  noise = options.start_mean + options.start_scale * jax.random.normal(key, shape)
  start = jnp.clip(noise, 0, 1).at[slot].set(candidate.image)

  def objective(images: jax.Array) -> jax.Array:
    return _objective(prepared, observation, Batch(images, labels), options)

  images, losses = _descend(objective, start, options)
  return ssim(candidate.image, images[slot]), Info(images, images[slot], losses)


def _objective(
  knowledge: Knowledge, observation: Observation, guess: Batch, options: Options
) -> jax.Array:
  """Equation 9 or 10."""
  known = knowledge.loss_fn, knowledge.params, observation.gradient
  if options.target == 'query':
    return query_objective(*known, guess, tv_weight=options.tv_weight)
  if observation.query_set is None:
    raise ValueError('the support set cannot be sought without the query set')
  task = Task(guess, observation.query_set)
  return support_objective(*known, task, knowledge.inner, tv_weight=options.tv_weight)


def _descend(objective, start: jax.Array, options: Options) -> tuple[jax.Array, jax.Array]:
  """Signed Adam within the box [0, 1]; the step is cut to a tenth at 3/8, 5/8 and 7/8."""
  cuts = {int(options.iterations * eighths / 8): 0.1 for eighths in (3, 5, 7)}
  schedule = optax.piecewise_constant_schedule(options.learning_rate, cuts)
  optimizer = optax.chain(
    optax.stateless(lambda updates, _: jax.tree.map(jnp.sign, updates)),
    optax.adam(schedule),
  )

  def step(carry, _):
    images, state = carry
    loss, slope = jax.value_and_grad(objective)(images)
    updates, state = optimizer.update(slope, state, images)
    images = optax.projections.projection_box(optax.apply_updates(images, updates), 0, 1)
    return (images, state), loss

  carry = (start, optimizer.init(start))
  (images, _), losses = jax.lax.scan(step, carry, length=options.iterations)
  return images, losses
