"""Whether the candidate's own gradient is one of those that the received one is the mean of.

To first order in the inner rate, n g = sum_i gamma(x_i): a sum of the gradients of single
query images at w. Public images of the same classes tell how gamma is distributed in a slot.
If everything is Gaussian, n g less its mean is noise of n covariances, in which a member adds
the known signal d = gamma(x_0) - mu: the best test is the matched filter d' C^-1 (g - mu_g),
and the log-likelihood ratio is what it exceeds d' C^-1 d / (2 n) by. In other words, the
coefficient of d in g, about 1/n for a member and 0 for others, is compared with 1/(2n). (Under
batch normalisation no image has a gradient of its own.)
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.references import Prepared, expected, labelled, learn_references
from mamljax.attacks.refusal import refuses_divergence
from mamljax.checks import Checked, choice, count


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How gradients are compared.

  Attributes:
    target: the query set.
    ways: slots of a task.
    classes: 'known' if the adversary is told which class each slot holds, or 'unknown': then
      it takes those that explain the gradient best.
    sketch: numbers kept of a gradient (a length, so a change of it recompiles).
    ridge: added to the covariance, in units of its mean variance.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query'))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  classes: str = dataclasses.field(default='known', metadata=choice('known', 'unknown'))
  sketch: int = dataclasses.field(default=2048, metadata=count(1))
  ridge: float | jax.Array = 0.01


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    coefficient: of the candidate's gradient in the received one: 1/n expected of a member.
    energy: d' C^-1 d, how much the candidate stands out: the signal to noise ratio is its
      square root over that of n.
    classes: of each slot, as known or inferred, [ways].
  """

  coefficient: jax.Array
  energy: jax.Array
  classes: jax.Array


REQUIRES = {'query': frozenset({'references', 'classes', 'separate_images'})}
THRESHOLD = 0.0  # the likelihood ratio's; the coefficient is then 1/(2n)


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Prepared:
  """The distribution of single images' gradients at w, from the references.

  Its cost is that of a gradient for every reference and label, once for all trials.
  """
  return learn_references(
    key, knowledge, ways=options.ways, sketch=options.sketch, ridge=options.ridge
  )


@refuses_divergence
def score(
  key: jax.Array,
  prepared: Prepared,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """The log-likelihood ratio of member and non-member, above 0 for a member.

  The order of the images does not matter. The scale of the gradient does: a member adds a
  known amount.

  Args:
    key: not used.
    prepared: from `prepare`.
    observation: the received gradient, its slot labels and, where known, their classes.
    candidate: the image x_0 and its slot.
    options: how gradients are compared.

  Returns:
    A scalar and an `Info`.
  """
  candidate.check()
  del key
  if options.classes == 'unknown':  # what is told all the same is not looked at
    observation = observation._replace(classes=None)
  received = prepared.whiten(observation.gradient)
  classes, mean = expected(prepared, observation, received)
  signal = prepared.whiten(labelled(prepared.knowledge, candidate))
  signal -= prepared.means[classes[candidate.label], candidate.label]
  response, energy = signal @ (received - mean), signal @ signal
  ratio = response - energy / (2 * len(observation.query_labels))
  return ratio, Info(response / jnp.maximum(energy, 1e-30), energy, classes)
