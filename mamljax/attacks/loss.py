"""The oldest membership attack: is the loss of the candidate low? (Yeom et al., 2018)

A baseline. It does not look at the gradient at all: at w, which no task has trained, a member
and a non-member have the same loss on average, and what it finds is what w tells by itself.
"""

import dataclasses
from typing import NamedTuple

import jax

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
  """Minus the loss of the candidate at w, higher for a member.

  Args:
    key: not used.
    prepared: from `prepare`.
    observation: not used.
    candidate: the image and its slot.
    options: the targeted set.

  Returns:
    A scalar and an empty `Info`.
  """
  candidate.check()
  del key, observation, options
  single = Batch(candidate.image[None], candidate.label[None])
  return -prepared.loss_fn(prepared.params, single), Info()
