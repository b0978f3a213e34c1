"""Reconstruction, the paper's attack: starts at the candidate and looks whether it stays.

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
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from mamljax.attacks import base
from mamljax.attacks.base import BaseAttack, Requirements, Threshold, guarded
from mamljax.attacks.gradients.labels import check_output, infer_labels
from mamljax.attacks.gradients.objectives import expect_gradient, objective, unit_scale
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_ways
from mamljax.attacks.readable import reads_gradient
from mamljax.checks import choice, count, nonnegative
from mamljax.errors import InputError
from mamljax.images import SSIM_WINDOW, ssim
from mamljax.numerics import like
from mamljax.protocol.learner import Learner
from mamljax.types import Batch

LABELS = ('known', 'inferred')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the reconstruction, for figures; no part of them knows the truth.

  Attributes:
    images: the reconstruction x*, [n, height, width, channels].
    losses: the objective before each step, [iterations].
    labels: the slot of each image, as known or inferred, [n].
  """

  images: jax.Array
  losses: jax.Array
  labels: jax.Array


Left = Callable[[Info], jax.Array]  # the objective at what was found, as `losses` have it


def _similarity(image: jax.Array, found: Info, left: Left) -> jax.Array:
  """SSIM(x_0, x*) of the candidate's slot, as in section IV-C."""
  del left
  assert found.reconstruction is not None
  return ssim(image, found.reconstruction)


def _closeness(image: jax.Array, found: Info, left: Left) -> jax.Array:
  """Minus the mean squared error: pixel for pixel, where SSIM compares windows."""
  del left
  assert found.reconstruction is not None
  return -jnp.mean(jnp.square(image - found.reconstruction))


def _agreement(image: jax.Array, found: Info, left: Left) -> jax.Array:
  """Minus the objective in the end, whatever became of the candidate.

  After a hundred steps the gradient is explained equally well from any start, so it tells
  members only after few or small ones.
  """
  del image
  return -left(found)


JUDGES: dict[str, Callable[[jax.Array, Info, Left], jax.Array]] = {
  'ssim': _similarity,
  'mse': _closeness,
  'residual': _agreement,
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction(BaseAttack):
  """Reconstruction of the targeted set from the candidate on, for either set.

  Attributes:
    iterations: optimiser steps of the reconstruction (a length, so a change of it recompiles).
    learning_rate: initial step size of the reconstruction, in units of the pixel range,
      `Knowledge.bounds`.
    decay: factor of the step after 3/8, 5/8 and 7/8 of the iterations.
    tv_weight: weight of the total variation, a in equation 9.
    start_mean: mean of the Gaussian first guess of the slots without a candidate, as a share of
      the pixel range.
    start_scale: standard deviation of the Gaussian first guess, which is clipped to the range.
    labels: labels of the sought set: 'known', as the protocol orders them, or 'inferred' from
      the gradient.
    restarts: number of first guesses; the one with the least objective before its last
      step, which is all that the adversary can choose by, is scored.
    judge: measure that the reconstruction is scored by.
  """

  iterations: int = dataclasses.field(default=100, metadata=count(1))
  learning_rate: float | jax.Array = dataclasses.field(default=0.1, metadata=nonnegative())
  decay: float | jax.Array = dataclasses.field(default=0.1, metadata=nonnegative())
  tv_weight: float | jax.Array = dataclasses.field(default=0.03, metadata=nonnegative())
  start_mean: float | jax.Array = 0.5
  start_scale: float | jax.Array = dataclasses.field(default=0.25, metadata=nonnegative())
  labels: str = dataclasses.field(default='known', metadata=choice(*LABELS))
  restarts: int = dataclasses.field(default=1, metadata=count(1))
  judge: str = dataclasses.field(default='ssim', metadata=choice(*JUDGES))

  requires: ClassVar[Requirements] = {
    'query': base.Needs(),
    'support': frozenset({'query_set', 'inner_loop'}),
  }
  threshold: ClassVar[Threshold] = None  # the similarity of a non-member depends on everything

  @property
  def smallest_image(self) -> int:
    """Least side of an image, in pixels: that of SSIM's window, if it judges, or of any."""
    return SSIM_WINDOW if self.judge == 'ssim' else 1

  @property
  def passes(self) -> int:
    """Number of optimiser steps."""
    return self.iterations

  @property
  def sets_at_once(self) -> int:
    """Number of sets that are reconstructed together."""
    return self.restarts

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network without biases in its output layer, if they are to tell the labels."""
    if self.labels == 'inferred':
      check_output(knowledge.loss_fn, knowledge.params, image)

  def refuses(self, learner: Learner, target: str) -> str | None:
    """The reason why the query set cannot be sought; any learner is simulated on a support set.

    Labels are inferred from a gradient, of either set.
    """
    reads = target == 'query' or self.labels == 'inferred'
    return reads_gradient(learner) if reads else None

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Judges how little the candidate changed, higher for a member.

    Args:
      key: a random key, for the first guess of the other slots.
      prepared: from `prepare`.
      observation: the received gradient and its slot labels.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar, at most 1 for SSIM and at most 0 for the other judges, and an `Info`.

    Raises:
      InputError: if the candidate is a vector, which has no total variation.
    """
    if candidate.image.ndim != 3:
      raise InputError(base.no_image(self, candidate.image.shape))
    gradient, rates = (unit_scale(part) for part in (observation.gradient, observation.rates))
    aimed = observation._replace(gradient=gradient, rates=rates)
    search = _Search(self, prepared, observation, aimed)
    runs = jax.vmap(lambda key: _reconstruct(key, search, candidate))(
      jax.random.split(key, self.restarts)
    )
    best = jax.tree.map(lambda leaf: leaf[jnp.argmin(runs.losses[:, -1])], runs)

    def left(found: Info) -> jax.Array:
      return search.mismatch(found.labels, found.images)

    judged = dataclasses.replace(best, reconstruction=search.to_unit(best.reconstruction))
    return JUDGES[self.judge](search.to_unit(candidate.image), judged, left), best


@dataclasses.dataclass(frozen=True)
class _Search:
  """A search for the images of the targeted set.

  Attributes:
    attack: its options.
    known: the adversary's knowledge.
    observation: the observation of the trial.
    aimed: the same with the gradient at unit scale, computed once for all steps.
  """

  attack: Reconstruction
  known: Knowledge
  observation: Observation
  aimed: Observation

  @property
  def labels(self) -> jax.Array:
    """The slots of the targeted set, as the protocol orders them."""
    seen = self.observation
    return seen.query_labels if self.known.target == 'query' else seen.support_labels

  def to_unit(self, images: Any) -> jax.Array:
    """Images as shares of the pixel range, in which the search moves."""
    low, high = self.known.bounds
    return images if (low, high) == (0, 1) else (images - low) / (high - low)

  def from_unit(self, shares: jax.Array) -> jax.Array:
    """Images of which `to_unit` makes these shares."""
    low, high = self.known.bounds
    return shares if (low, high) == (0, 1) else low + (high - low) * shares

  def infer(self, alike: jax.Array) -> jax.Array:
    """The slots that the gradient tells, of images that are like those sought."""
    known, seen = self.known, self.observation
    expected = functools.partial(expect_gradient, known, seen, target=known.target)
    return infer_labels(
      known.loss_fn, known.params, alike, seen.gradient, expected, ways=known_ways(known)
    )

  def mismatch(self, labels: jax.Array, images: jax.Array) -> jax.Array:
    """The objective of the images, equation 9 or 10."""
    known, guess = self.known, Batch(images, labels)
    low, high = known.bounds
    tv_weight = self.attack.tv_weight / (high - low)
    return objective(known, self.aimed, guess, target=known.target, tv_weight=tv_weight)


def _reconstruct(key: jax.Array, search: _Search, candidate: Candidate) -> Info:
  """One reconstruction, with the candidate in the first slot of its class."""
  attack, labels, image = search.attack, search.labels, candidate.image
  shape = (labels.shape[0], *image.shape)
  mean, scale = (like(image, x) for x in (attack.start_mean, attack.start_scale))
  noise = mean + scale * jax.random.normal(key, shape, image.dtype)
  start, inferred = jnp.clip(noise, 0, 1), None
  if attack.labels == 'inferred':
    # The candidate is the one image at hand that is like those sought.
    inferred = labels = search.infer(jnp.broadcast_to(image, shape))
  slot = jnp.argmax(labels == candidate.label)
  # A class that was not inferred has no slot: it gets the first.
  labels = labels.at[slot].set(candidate.label)
  start = start.at[slot].set(search.to_unit(image))

  def mismatch(shares: jax.Array) -> jax.Array:
    return search.mismatch(labels, search.from_unit(shares))

  shares, losses = _descend(mismatch, start, attack)
  images = search.from_unit(shares)
  return Info(
    images=images,
    losses=losses,
    labels=labels,
    reconstruction=images[slot],
    inferred_labels=None if inferred is None else labels,
  )


def _descend(
  mismatch: Callable[[jax.Array], jax.Array], start: jax.Array, attack: Reconstruction
) -> tuple[jax.Array, jax.Array]:
  """Signed Adam within the box [0, 1] of shares, with three cuts of the step."""
  cuts = jnp.array([attack.iterations * eighths // 8 for eighths in (3, 5, 7)])

  def schedule(count: jax.typing.ArrayLike) -> jax.Array:
    return attack.learning_rate * attack.decay ** jnp.sum(count >= cuts)

  optimizer = optax.chain(
    optax.stateless(lambda updates, _: jax.tree.map(jnp.sign, updates)),
    optax.adam(schedule),
  )

  def step(carry, _):
    images, state = carry
    loss, slope = jax.value_and_grad(mismatch)(images)
    updates, state = optimizer.update(slope, state, images)
    images = optax.projections.projection_box(optax.apply_updates(images, updates), 0, 1)
    return (images, state), loss

  carry = (start, optimizer.init(start))
  (images, _), losses = jax.lax.scan(step, carry, length=attack.iterations)
  return images, losses
