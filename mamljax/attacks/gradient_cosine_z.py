"""How unusual is the candidate's cosine among those of other images of its class and slot?

A baseline: the score of `gradient_cosine`, less its mean over public references of the same
class in the same slot, in their standard deviations (as Carlini et al., 2022, calibrate
losses). This takes away what class and slot explain, but does not whiten.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.objectives import cosine_similarity, unit_scale
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.refusal import refuses_divergence
from mamljax.checks import Checked, choice
from mamljax.types import Batch

_PEERS = 64  # references that a candidate is compared with: 9 % of error in a deviation
_AT_ONCE = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """Nothing can be chosen but the set.

  Attributes:
    target: the set that is sought; the score is the same for both.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query', 'support'))


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    cosine: of the candidate's gradient and the received one.
    mean: of the references' cosines.
    deviation: their standard deviation.
  """

  cosine: jax.Array
  mean: jax.Array
  deviation: jax.Array


REQUIRES = {
  'query': frozenset({'references', 'classes'}),
  'support': frozenset({'references', 'classes'}),
}
THRESHOLD = None


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Knowledge:
  """Nothing to prepare: which references are of interest depends on the slot and its class.

  Raises:
    ValueError: if references are not equally many of each class.
  """
  if knowledge.references is not None:
    checks.references(knowledge.references)
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
  """The standard deviations by which the candidate's cosine exceeds the references' mean.

  It does not depend on the scale of the received gradient.

  Args:
    key: not used.
    prepared: from `prepare`; of its references the first 64 of the class are used.
    observation: the received gradient and the class of each slot.
    candidate: the image and its slot.
    options: the targeted set.

  Returns:
    A scalar and an `Info`.

  Raises:
    ValueError: if there are no references, or the classes are not known.
  """
  candidate.check()
  del key, options
  if prepared.references is None or observation.classes is None:
    raise ValueError('a cosine cannot be compared without references and classes')

  received = unit_scale(observation.gradient)

  def cosine(image: jax.Array) -> jax.Array:
    single = Batch(image[None], candidate.label[None])
    own = jax.grad(prepared.loss_fn)(prepared.params, single)
    return cosine_similarity(unit_scale(own), received)

  pool = prepared.references
  each = pool.images.shape[0] // pool.counts.shape[0]
  first = pool.starts[observation.classes[candidate.label]]
  rows = first + jnp.arange(min(_PEERS, each))
  peers = jax.lax.map(cosine, pool.images[rows].astype(jnp.float32) / 255, batch_size=_AT_ONCE)
  own, mean, deviation = cosine(candidate.image), peers.mean(), peers.std(ddof=1)
  return (own - mean) / jnp.maximum(deviation, 1e-12), Info(own, mean, deviation)
