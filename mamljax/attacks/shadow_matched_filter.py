"""What the received gradient would look like with the candidate in it: shadow tasks tell.

The adversary knows the query set and the inner loop, and has public images of the classes. It
draws shadow support sets from these and computes the exact meta-gradient of each. Their mean m
and covariance C describe what it would receive without the candidate; putting the candidate in
place of one image of its class in some of them tells by how much, d, it moves the mean. If
gradients were Gaussian, the log-likelihood ratio of member and non-member would be

    d' C^-1 (g - m) - d' C^-1 d / 2.

No linearisation is needed: what an adaptation does, the switching of ReLUs included, is in the
shadows. (Shadow models: Shokri et al., 2017; a likelihood ratio from them: Carlini et al.,
2022. There a shadow is a trained model; here it is one gradient.)
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.objectives import simulate
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.refusal import refuses_divergence
from mamljax.attacks.shadows import (
  AT_ONCE,
  about_mean,
  beyond_rounding,
  draw_shadow,
  likelihood_ratio,
  solve_ridged,
)
from mamljax.attacks.slot_classes import Prepared, find_classes, learn_classes
from mamljax.checks import Checked, choice, count, positive
from mamljax.types import Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How many shadows, and how their covariance is inverted.

  Attributes:
    target: the support set.
    ways: slots of a task.
    classes: 'known' if the adversary is told which class each slot holds, or 'unknown': then
      it infers them from the query images.
    shadows: support sets that are drawn (a length, so a change of it recompiles).
    swaps: those in which the candidate takes a place, at most all of them (a length).
    shrinkage: added to the covariance, in units of its mean variance along the shadows.
  """

  target: str = dataclasses.field(default='support', metadata=choice('support'))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  classes: str = dataclasses.field(default='known', metadata=choice('known', 'unknown'))
  shadows: int = dataclasses.field(default=300, metadata=count(2))
  swaps: int = dataclasses.field(default=100, metadata=count(1))
  shrinkage: float | jax.Array = dataclasses.field(default=0.1, metadata=positive())


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    response: d' C^-1 (g - m).
    energy: d' C^-1 d, how much the candidate would stand out.
    classes: of each slot, as known or inferred, [ways].
  """

  response: jax.Array
  energy: jax.Array
  classes: jax.Array


REQUIRES = {'support': frozenset({'query_set', 'inner_loop', 'references', 'classes'})}
THRESHOLD = 0.0  # the likelihood ratio's


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Prepared:
  """How classes are told apart, if unknown: shadows depend on the query set of each trial."""
  del key
  return learn_classes(knowledge, options.classes)


@refuses_divergence
def score(
  key: jax.Array,
  prepared: Prepared,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """The log-likelihood ratio in units of its standard deviation, higher for a member.

  The order of the images does not matter to what is expected, but which shadows are drawn
  depends on it.

  Args:
    key: a random key, for the shadows.
    prepared: from `prepare`; its references are class after class.
    observation: the received gradient, the query set and, if known, the class of each slot.
    candidate: the image x_0 and its slot.
    options: how many shadows.

  Returns:
    A scalar and an `Info`.

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  candidate.check()
  known, labels = prepared.knowledge, observation.support_labels
  classes = find_classes(prepared, observation, ways=options.ways)
  seen = observation._replace(classes=classes)
  draw = jax.vmap(lambda key: draw_shadow(key, known, seen))
  shadows = draw(jax.random.split(key, options.shadows))
  swapped = shadows[: options.swaps].at[:, jnp.argmax(labels == candidate.label)]

  def gradient(images: jax.Array) -> jax.Array:
    guess = Batch(images, labels)
    return ravel_pytree(simulate(known, seen, guess, target=options.target))[0]

  at_once = max(1, AT_ONCE // len(labels))
  without = jax.lax.map(gradient, shadows, batch_size=at_once)
  with_it = jax.lax.map(gradient, swapped.set(candidate.image), batch_size=at_once)
  shift = beyond_rounding(with_it - without[: options.swaps], without).mean(axis=0)
  mean, apart = about_mean(without)
  received = ravel_pytree(observation.gradient)[0] - mean
  whitened = whiten_twice(apart, shift, options.shrinkage)
  ratio, *told = likelihood_ratio(whitened, shift, received)
  return ratio, Info(*told, classes=classes)


def whiten_twice(
  apart: jax.Array, vector: jax.Array, shrinkage: float | jax.Array
) -> jax.Array:
  """(C + r I)^-1 v: what C whitens, applied twice.

  Args:
    apart: rows about their mean, [shadows, size]; C is their covariance.
    vector: v, [size].
    shrinkage: r in units of C's trace over the number of rows.
  """
  count = len(apart)
  rows = apart / (count - 1) ** 0.5
  return solve_ridged(rows, vector, shrinkage * jnp.sum(rows**2) / count)
