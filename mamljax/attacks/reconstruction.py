"""The paper's attack: start a reconstruction at the candidate and see whether it stays.

The images whose gradient matches the received one are sought by signed Adam (Geiping et
al., 2020). The candidate is the first guess of one slot of its class, noise that of all
others. A member is already right and hardly moves; a non-member is driven towards the
image that was there. The score is SSIM(x_0, x*) of the candidate's slot (section IV-C), or
what another judge says of the same reconstruction.

The query set is sought with the meta-knowledge in place of the adapted parameters
(equation 9); the support set by simulating the adaptation, with the query set known
(equation 10).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax.attacks.labels import infer_labels
from mamljax.attacks.objectives import objective, simulate, unit_scale
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.refusal import refuses_divergence
from mamljax.checks import Checked, choice, count
from mamljax.dtypes import like
from mamljax.images import SSIM_WINDOW, ssim
from mamljax.types import Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How the reconstruction is run.

  Attributes:
    target: the set that is sought, a key of `REQUIRES`.
    iterations: optimiser steps (a length, so a change of it recompiles).
    learning_rate: Adam's first step, in units of the pixel range.
    decay: what the step is multiplied by after 3/8, 5/8 and 7/8 of the iterations.
    tv_weight: a in equation 9, the weight of the total variation.
    start_mean: mean of the Gaussian first guess of the slots without a candidate.
    start_scale: its standard deviation; guesses are clipped to [0, 1].
    labels: 'known', as the protocol orders them, or 'inferred' from the gradient.
    ways: the number of classes, for labels that are inferred.
    restarts: first guesses that are tried; the one with the least objective before its last
      step, which is all that the adversary can choose by, is scored.
    judge: what the score is, a key of `JUDGES`; the reconstruction is the same.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query', 'support'))
  iterations: int = dataclasses.field(default=100, metadata=count(1))
  learning_rate: float | jax.Array = 0.1
  decay: float | jax.Array = 0.1
  tv_weight: float | jax.Array = 0.03
  start_mean: float | jax.Array = 0.5
  start_scale: float | jax.Array = 0.25
  labels: str = dataclasses.field(default='known', metadata=choice('known', 'inferred'))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  restarts: int = dataclasses.field(default=1, metadata=count(1))
  judge: str = dataclasses.field(default='ssim', metadata=choice('ssim', 'mse', 'residual'))


class Info(NamedTuple):
  """What the attack saw on its way, for figures; no part of it knows the truth.

  Attributes:
    images: the reconstruction x*, [n, height, width, channels].
    reconstruction: the candidate's slot of it, [height, width, channels].
    losses: the objective before each step, [iterations].
    labels: the slot of each image, as known or inferred, [n].
  """

  images: jax.Array
  reconstruction: jax.Array
  losses: jax.Array
  labels: jax.Array


LABELS = ('known', 'inferred')
REQUIRES = {'query': frozenset[str](), 'support': frozenset({'query_set', 'inner_loop'})}
THRESHOLD = None  # the similarity of a non-member depends on everything


def smallest_image(options: Options) -> int:
  """The side, in pixels, that images must have at least: of SSIM's window, if it judges."""
  return SSIM_WINDOW if options.judge == 'ssim' else 1


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Knowledge:
  """Nothing to prepare: a reconstruction works from w and the gradient alone."""
  del key, options
  return knowledge


@refuses_divergence
def score(
  key: jax.Array,
  prepared: Knowledge,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """How little the candidate changed: SSIM(x_0, x*), or as `JUDGES` say; higher for a member.

  Args:
    key: a random key, for the first guess of the other slots.
    prepared: from `prepare`.
    observation: the received gradient and its slot labels.
    candidate: the image x_0 and its slot.
    options: how the reconstruction is run.

  Returns:
    A scalar, at most 1 for SSIM and at most 0 for the other judges, and an `Info`.
  """
  candidate.check()
  aimed = observation._replace(gradient=unit_scale(observation.gradient))
  sought = {'query': observation.query_labels, 'support': observation.support_labels}
  known = sought[options.target]
  runs = jax.vmap(
    lambda key: _reconstruct(key, prepared, observation, candidate, known, options)
  )(jax.random.split(key, options.restarts))
  best = jax.tree.map(lambda leaf: leaf[jnp.argmin(runs.losses[:, -1])], runs)

  def left(found: Info) -> jax.Array:
    return _mismatch(prepared, aimed, found.labels, options, found.images)

  return JUDGES[options.judge](candidate.image, best, left), best


Left = Callable[[Info], jax.Array]  # the objective at what was found, as `losses` have it

JUDGES: dict[str, Callable[[jax.Array, Info, Left], jax.Array]] = {
  'ssim': lambda image, found, _: ssim(image, found.reconstruction),
  # The same question pixel for pixel, where SSIM compares windows.
  'mse': lambda image, found, _: -jnp.mean(jnp.square(image - found.reconstruction)),
  # How well the gradient is explained in the end, whatever became of the candidate: after a
  # hundred steps equally well from any start, so it tells members only after few or small ones.
  'residual': lambda _, found, left: -left(found),
}


def _reconstruct(
  key: jax.Array,
  knowledge: Knowledge,
  observation: Observation,
  candidate: Candidate,
  labels: jax.Array,
  options: Options,
) -> Info:
  """One reconstruction, with the candidate in the first slot of its class."""
  shape = (labels.shape[0], *candidate.image.shape)
  mean, scale = (like(candidate.image, x) for x in (options.start_mean, options.start_scale))
  noise = mean + scale * jax.random.normal(key, shape, candidate.image.dtype)
  start = jnp.clip(noise, 0, 1)
  told = functools.partial(simulate, knowledge, observation, target=options.target)
  if options.labels == 'inferred':
    # The candidate is the one image at hand that is like those sought.
    alike = jnp.broadcast_to(candidate.image, shape)
    labels = infer_labels(alike, observation.gradient, told, ways=options.ways)
  slot = jnp.argmax(labels == candidate.label)
  # A class that was not inferred has no slot: it gets the first.
  labels = labels.at[slot].set(candidate.label)
  start = start.at[slot].set(candidate.image)
  aimed = observation._replace(gradient=unit_scale(observation.gradient))
  mismatch = functools.partial(_mismatch, knowledge, aimed, labels, options)
  images, losses = _descend(mismatch, start, options)
  return Info(images, images[slot], losses, labels)


def _mismatch(
  knowledge: Knowledge,
  observation: Observation,
  labels: jax.Array,
  options: Options,
  images: jax.Array,
) -> jax.Array:
  """What the reconstruction minimises over the images: equation 9 or 10."""
  guess, tv_weight = Batch(images, labels), options.tv_weight
  return objective(knowledge, observation, guess, target=options.target, tv_weight=tv_weight)


def _descend(objective, start: jax.Array, options: Options) -> tuple[jax.Array, jax.Array]:
  """Signed Adam within the box [0, 1], with three cuts of the step."""
  cuts = jnp.array([options.iterations * eighths // 8 for eighths in (3, 5, 7)])

  def schedule(count: jax.typing.ArrayLike) -> jax.Array:
    return options.learning_rate * options.decay ** jnp.sum(count >= cuts)

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
