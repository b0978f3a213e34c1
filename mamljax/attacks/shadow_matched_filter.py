"""Shadow filter: exact meta-gradients of sets of public images, with the candidate and without.

The adversary knows the query set and the inner loop, and has public images of the classes. It
draws shadow support sets from these and computes the exact meta-gradient of each. Their mean m
and covariance C describe what it would receive without the candidate; putting the candidate in
place of one image of its class in some of them tells by how much, d, it moves the mean. Were
gradients Gaussian, the test of `gaussian.likelihood` would be the best there is.

No linearisation is needed: what an adaptation does, the switching of ReLUs included, is in the
shadows; and so is published noise on the sets and on the adaptation. Of what is done to the
message itself, noise adds to C, a clip is undone by its factor, and a compressed message is
read as its hook publishes: with E the variances of the errors, the filter is that of C + E on
the numbers that are told, such as those that survived pruning.

Shadow models are those of Shokri et al. (2017), a likelihood ratio from them that of Carlini et
al. (2022). There a shadow is a trained model; here it is one gradient.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.base import (
  BaseAttack,
  Requirements,
  Threshold,
  guarded,
  required,
)
from mamljax.attacks.gaussian.known_noise import (
  clip_factor,
  compression_of,
  is_readable_mean,
  on_mean,
  read_compressed,
  variance_sent,
  without_mean,
)
from mamljax.attacks.gaussian.likelihood import Ratio, log_likelihood_ratio
from mamljax.attacks.gaussian.shadows import (
  AT_ONCE,
  Info,
  about_mean,
  beyond_rounding,
  draw_shadow,
)
from mamljax.attacks.gaussian.slot_classes import Prepared, find_classes, learn_classes
from mamljax.attacks.gradients.objectives import simulate
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_defence
from mamljax.attacks.readable import check_readable
from mamljax.checks import count, positive
from mamljax.defences.defence import Defence
from mamljax.linear_algebra import LowRankPlusDiagonal, low_rank_plus_diagonal
from mamljax.types import Batch, Params

_NOISE = 1  # a stream of randomness beside that of shadows


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ShadowMatchedFilter(BaseAttack):
  """Filter of exact meta-gradients of shadows, for the support set.

  Where the classes of the slots are withheld, they are inferred from the query images.

  Attributes:
    shadows: support sets drawn of public images (a length, so a change of it recompiles).
    swaps: support sets in which the candidate takes a place, at most all of them (a length).
    shrinkage: addition to the covariance, in units of its mean variance along the shadows.
  """

  shadows: int = dataclasses.field(default=300, metadata=count(2))
  swaps: int = dataclasses.field(default=100, metadata=count(1))
  shrinkage: float | jax.Array = dataclasses.field(default=0.1, metadata=positive())

  requires: ClassVar[Requirements] = {
    'support': frozenset({'query_set', 'inner_loop', 'references', 'classes', 'defence'})
  }
  optional: ClassVar[Requirements] = {'support': frozenset({'classes', 'defence'})}
  threshold: ClassVar[Threshold] = 0.0  # the likelihood ratio's

  @property
  def passes(self) -> int:
    """Number of shadow tasks, with the candidate and without."""
    return self.shadows + self.swaps

  def held(self, parameters: int) -> int:
    """Least number of floats kept: the gradients of shadows."""
    return self.shadows * parameters

  def allows_for(self, defence: Defence, target: str) -> bool:
    """All, if what is done to a message can be read; see `Attack.allows_for`."""
    del target
    return is_readable_mean(defence)

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns how classes are told apart, if withheld; shadows depend on each trial."""
    del key
    required(self, knowledge)
    check_readable(self, knowledge, is_readable_mean)
    return learn_classes(knowledge)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    The order of the images does not matter to what is expected, but which
    shadows are drawn depends on it.

    Args:
      key: a random key, for the shadows.
      prepared: from `prepare`; its references are class after class.
      observation: the received gradient, the query set and, if known, the class of each slot.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.

    Raises:
      ValueError: if there are no references, or the classes are not known.
    """
    known, labels = prepared.knowledge, observation.support_labels
    classes = find_classes(prepared, observation)
    observation = observation._replace(classes=classes)
    draw = jax.vmap(lambda key: draw_shadow(key, known, observation))
    keys = jax.random.split(key, self.shadows)
    shadows = draw(keys)
    swapped = shadows[: self.swaps].at[:, jnp.argmax(labels == candidate.label)]

    def gradient(shadow: tuple[jax.Array, jax.Array]) -> jax.Array:
      key, images = shadow
      own, guess = jax.random.fold_in(key, _NOISE), Batch(images, labels)
      sent = simulate(known, observation, guess, target='support', noise_key=own)
      return ravel_pytree(sent)[0]

    at_once = max(1, AT_ONCE // len(labels))
    without = jax.lax.map(gradient, (keys, shadows), batch_size=at_once)
    # The same noise in both, of which the difference is then clear.
    with_it = (keys[: self.swaps], swapped.set(candidate.image))
    changes = jax.lax.map(gradient, with_it, batch_size=at_once) - without[: self.swaps]
    signal = beyond_rounding(changes, without).mean(axis=0)
    sent = on_mean(known, len(observation.query_labels))
    ratio = _weigh(sent, observation.message, signal, *about_mean(without), self.shrinkage)
    info = Info(response=ratio.response, energy=ratio.energy, classes=classes)
    return ratio.value, info


def _weigh(
  known: Knowledge,
  message: Params,
  signal: jax.Array,
  mean: jax.Array,
  apart: jax.Array,
  shrinkage: float | jax.Array,
) -> Ratio:
  """The ratio of a message, as noisy, clipped or compressed as is published."""
  sent = without_mean(known, message)
  rows, ridge = _spread(apart, shrinkage)
  flat, unravel = ravel_pytree(sent)

  def solve(vector: jax.Array) -> jax.Array:
    return shrunk(apart, shrinkage).solve(vector)

  factor = clip_factor(known, sent, flat, mean, solve=solve)
  noise = variance_sent(known) / factor**2
  if compression_of(known_defence(known)) is None:
    covariance = low_rank_plus_diagonal(rows, ridge + noise)
    return log_likelihood_ratio(covariance, signal, flat / factor - mean)
  received = ravel_pytree(message)[0]
  variance = jnp.sum(rows**2, axis=0) + noise
  beside = mean + received - flat  # of noise before the compression
  numbers = (unravel(x) for x in (received / factor, beside, variance))
  read = read_compressed(known, *numbers)
  diagonal = jnp.where(read.told, ridge + noise + read.error, 0)
  covariance = low_rank_plus_diagonal(jnp.where(read.told, rows, 0), diagonal)
  return log_likelihood_ratio(covariance, signal, read.residual)


def _spread(apart: jax.Array, shrinkage: float | jax.Array) -> tuple[jax.Array, jax.Array]:
  """The rows and the ridge of `shrunk`."""
  count = len(apart)
  rows = apart / (count - 1) ** 0.5
  return rows, shrinkage * jnp.sum(rows**2) / count


def shrunk(apart: jax.Array, shrinkage: float | jax.Array) -> LowRankPlusDiagonal:
  """The covariance of shadows, with a ridge.

  Args:
    apart: rows about their mean, [shadows, size].
    shrinkage: the ridge in units of the covariance's trace over the number of rows.
  """
  return low_rank_plus_diagonal(*_spread(apart, shrinkage))
