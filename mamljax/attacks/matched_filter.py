"""Matched filter: tests whether the mean gradient received contains the candidate's own.

To first order in the inner rate, n g = sum_i gamma(x_i): a sum of the gradients of single
query images at w. Public images of the same classes tell how gamma is distributed in a slot.
If everything is Gaussian, g less its mean is noise of covariance C / n, in which a member adds
the known signal d / n, d = gamma(x_0) - mu: the test is that of `gaussian.likelihood`. In other
words, the coefficient of d in g, about 1/n for a member and 0 for others, is compared with
1/(2n). (Under batch normalisation no image has a gradient of its own.)
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from mamljax.attacks import base
from mamljax.attacks.base import (
  Requirements,
  Threshold,
  guarded,
  required,
)
from mamljax.attacks.gaussian.likelihood import log_likelihood_ratio
from mamljax.attacks.gaussian.references import (
  Prepared,
  expected,
  labelled,
  learn_references,
)
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import SUPPORT_ELSEWHERE, GradientReader
from mamljax.checks import count, nonnegative
from mamljax.linear_algebra import uncorrelated


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the matched filter.

  Attributes:
    coefficient: of the candidate's gradient in the received one: 1/n expected of a member.
    energy: d' C^-1 d, how much the candidate stands out: the signal to noise ratio is its
      square root over that of n.
    classes: of each slot, as known or inferred, [ways].
  """

  coefficient: jax.Array
  energy: jax.Array
  classes: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchedFilter(GradientReader):
  """Matched filter of the candidate's gradient at w, for the query set.

  Where the classes of the slots are withheld, those are taken that explain the gradient best.

  Attributes:
    sketch: numbers kept of a gradient (a length, so a change of it recompiles).
    ridge: addition to the covariance, in units of its mean variance.
  """

  sketch: int = dataclasses.field(default=2048, metadata=count(1))
  ridge: float | jax.Array = dataclasses.field(default=0.01, metadata=nonnegative())

  requires: ClassVar[Requirements] = {
    'query': frozenset({'references', 'classes', 'separate_images'})
  }
  optional: ClassVar[Requirements] = {'query': frozenset({'classes'})}
  elsewhere: ClassVar[Mapping[str, str]] = SUPPORT_ELSEWHERE
  threshold: ClassVar[Threshold] = 0.0  # the likelihood ratio's; the coefficient is then 1/(2n)

  def held(self, parameters: int) -> int:
    """Least number of floats kept: the covariance of sketches."""
    return min(self.sketch, parameters) ** 2

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns the distribution of single images' gradients at w from the references.

    The cost is that of a gradient for every reference and label, once for all trials.
    """
    required(self, knowledge)
    return learn_references(key, knowledge, sketch=self.sketch, ridge=self.ridge)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    The order of the images does not matter. The scale of the gradient does: a member adds a
    known amount.

    Args:
      key: not used.
      prepared: from `prepare`.
      observation: the received gradient, its slot labels and, where known, their classes.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.
    """
    del key
    if 'classes' in prepared.knowledge.withheld:  # what is told all the same is not looked at
      observation = observation._replace(classes=None)
    received = prepared.whiten(observation.gradient)
    classes, mean = expected(prepared, observation, received)
    signal = prepared.whiten(labelled(prepared.knowledge, candidate))
    signal -= prepared.means[classes[candidate.label], candidate.label]
    n = len(observation.query_labels)
    ratio = log_likelihood_ratio(uncorrelated(signal), signal, received - mean, images=n)
    coefficient = ratio.response / jnp.maximum(ratio.energy, 1e-30)
    return ratio.value, Info(coefficient=coefficient, energy=ratio.energy, classes=classes)
