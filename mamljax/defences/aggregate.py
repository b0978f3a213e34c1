"""Sum over learners, as by secure aggregation: the adversary sees their mean message alone.

Secure aggregation (Bonawitz et al., 2017) lets a server learn the sum of messages and nothing
else. Here it is what the adversary sees: how the sum is computed is no part of it.

By itself it has no guarantee. An adversary who knows what the others send, or has agreed with
them, takes it off and is left with the message as it was: the likelihood-ratio bound is the
same for every number of learners. To anyone else the other learners' tasks are noise of a kind
that public images describe.

A mechanism before it, which each learner applies, has the guarantee of each message. The noise
of all m adds up in the sum: where the other m - 1 are honest and the sum alone is seen, that of
`DPGaussian(C, z)` is as good as that of a multiplier sqrt(m) z. A mechanism after it is the
aggregator's, who then must be trusted.
"""

import dataclasses
from collections.abc import Sequence

import jax

from mamljax import checks
from mamljax.defences.chain import Chain
from mamljax.defences.defence import Aggregation, Hook, Unguaranteed, parts_of
from mamljax.types import Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Aggregate(Unguaranteed):
  """Mean of several learners' messages, in place of the message of one.

  Hooks before it in a `Chain` are applied to each message, hooks after it to the mean. A game
  draws the tasks of the others; a learner that sends by itself is given them as `others`.

  Attributes:
    learners: m, the number of learners, the attacked one included; 1 or more. Static.

  Raises:
    InputError: if it is no such number.
  """

  learners: int = dataclasses.field(metadata={'static': True})

  def __post_init__(self):
    checks.whole('learners of an Aggregate', self.learners, least=1)

  def __call__(self, key: jax.Array, messages: Params, /) -> Params:
    """The mean of messages with an axis of learners in front; the key is not used."""
    del key
    return jax.tree.map(lambda leaf: leaf.mean(axis=0), messages)


def split_at_sum(hook: Hook | None) -> tuple[Hook | None, Hook | None]:
  """The hooks on each learner's message, and those on all together, from the sum on."""
  parts = parts_of(hook)
  place = next((i for i, x in enumerate(parts) if isinstance(x, Aggregation)), None)
  if place is None:
    return hook, None
  return _joined(parts[:place]), _joined(parts[place:])


def _joined(parts: Sequence[Hook]) -> Hook | None:
  """The hooks as one; a single one is itself, since a chain of one draws other noise."""
  if len(parts) < 2:
    return next(iter(parts), None)
  return Chain(*parts)
