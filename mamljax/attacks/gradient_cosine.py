"""Does the candidate's own gradient point where the received one does?

A baseline: the matched filter without a mean and without whitening. What all images of a slot
have in common is most of either gradient, and drowns what is the candidate's own.
"""

import dataclasses
from typing import NamedTuple

import jax

from mamljax.attacks.objectives import cosine_similarity, unit_scale
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.refusal import refuses_divergence
from mamljax.checks import Checked, choice
from mamljax.types import Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """Nothing can be chosen but the set.

  Attributes:
    target: the set that is sought; the score is the same for both.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query', 'support'))


class Info(NamedTuple):
  """The attack sees nothing else on its way."""


REQUIRES = {'query': frozenset[str](), 'support': frozenset[str]()}
THRESHOLD = None


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Knowledge:
  """Nothing to prepare."""
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
  """The cosine of the candidate's gradient at w and the received one, higher for a member.

  It does not depend on the scale of the received gradient.

  Args:
    key: not used.
    prepared: from `prepare`.
    observation: the received gradient.
    candidate: the image and its slot.
    options: the targeted set.

  Returns:
    A scalar in [-1, 1] and an empty `Info`.
  """
  candidate.check()
  del key, options
  single = Batch(candidate.image[None], candidate.label[None])
  own = jax.grad(prepared.loss_fn)(prepared.params, single)
  return cosine_similarity(unit_scale(own), unit_scale(observation.gradient)), Info()
