"""Baselines: the gradient's cosine, the same beside public images, and the loss."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks import base
from mamljax.attacks.base import (
  BaseAttack,
  Requirements,
  guarded,
  required,
)
from mamljax.attacks.gaussian import known_noise
from mamljax.attacks.gaussian.references import labelled
from mamljax.attacks.gradients.objectives import cosine_similarity, unit_scale
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import GradientReader
from mamljax.defences.defence import Defence, parts_of
from mamljax.images import as_floats
from mamljax.types import Batch, Params

_PEERS = 64  # references that a candidate is compared with: 9 % of error in a deviation
_AT_ONCE = 16
_NOTHING: Requirements = {'query': base.Needs(), 'support': base.Needs()}
_DEFENCE: Requirements = {target: frozenset({'defence'}) for target in _NOTHING}


class _Cosine(GradientReader):
  """Defaults of a cosine, in which the candidate's gradient takes the form of messages."""

  def allows_for(self, defence: Defence, target: str) -> bool:
    """A compression of what is sent, alone; see `Attack.allows_for`."""
    del target
    noisy = defence.support or defence.inner or defence.query
    is_compressed = known_noise.compression_of(defence) is not None
    return is_compressed and not noisy and len(parts_of(defence.outgoing)) == 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientCosine(_Cosine):
  """Cosine of the candidate's own gradient and the received one, for either set.

  A matched filter without a mean and without whitening. What all images of a slot have in
  common is most of either gradient, and drowns what is the candidate's own. Of a compressed
  message it is that of the candidate's gradient in the same form: on the numbers that survived
  pruning, or of signs.
  """

  requires: ClassVar[Requirements] = _DEFENCE
  optional: ClassVar[Requirements] = _DEFENCE

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, base.Info]:
    """Computes the cosine, in [-1, 1], higher for a member; the key is not used.

    It depends neither on the target nor on the scale of the received gradient.
    """
    del key
    return _cosine(prepared, candidate, unit_scale(observation.gradient)), base.Info()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerInfo(base.Info):
  """Diagnostics of the cosine beside public images.

  Attributes:
    cosine: of the candidate's gradient and the received one.
    mean: of the references' cosines.
    deviation: their standard deviation.
  """

  cosine: jax.Array
  mean: jax.Array
  deviation: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientCosineZ(_Cosine):
  """Cosine beside those of other images of the class in that slot, for either set.

  The score is that of `GradientCosine` less its mean over public references, in their standard
  deviations (as Carlini et al., 2022, calibrate losses). This takes away what class and slot
  explain, but does not whiten.
  """

  requires: ClassVar[Requirements] = {
    'query': frozenset({'references', 'classes', 'defence'}),
    'support': frozenset({'references', 'classes', 'defence'}),
  }
  optional: ClassVar[Requirements] = _DEFENCE

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Knowledge:
    """Prepares nothing: the references of interest depend on the slot and its class.

    Raises:
      ValueError: if references are not equally many of each class.
    """
    del key
    required(self, knowledge)
    if knowledge.references is not None:
      checks.references(knowledge.references)
    return knowledge

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, PeerInfo]:
    """Computes the deviations by which the candidate's cosine exceeds the references' mean.

    It depends neither on the target nor on the scale of the received gradient.

    Args:
      key: not used.
      prepared: from `prepare`; of its references the first 64 of the class are used.
      observation: the received gradient and the class of each slot.
      candidate: the image and its slot.

    Returns:
      A scalar and a `PeerInfo`.

    Raises:
      ValueError: if there are no references, or the classes are not known.
    """
    del key
    if prepared.references is None or observation.classes is None:
      raise ValueError('a cosine cannot be compared without references and classes')
    received = unit_scale(observation.gradient)

    def cosine(image: jax.Array) -> jax.Array:
      return _cosine(prepared, candidate._replace(image=image), received)

    pool = prepared.references
    each = pool.images.shape[0] // pool.counts.shape[0]
    first = pool.starts[observation.classes[candidate.label]]
    images = as_floats(pool.images[first + jnp.arange(min(_PEERS, each))])
    peers = jax.lax.map(cosine, images, batch_size=_AT_ONCE)
    own, mean, deviation = cosine(candidate.image), peers.mean(), peers.std(ddof=1)
    info = PeerInfo(cosine=own, mean=mean, deviation=deviation)
    return (own - mean) / jnp.maximum(deviation, 1e-12), info


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(BaseAttack):
  """Loss of the candidate at w, for either set.

  The oldest membership attack (Yeom et al., 2018). It does not look at the gradient at all: at
  w, which no task has trained, a member and a non-member have the same loss on average. What it
  finds is what w tells by itself.
  """

  requires: ClassVar[Requirements] = _NOTHING

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, base.Info]:
    """Computes minus the loss, higher for a member; key and observation are not used."""
    del key, observation
    single = Batch(candidate.image[None], candidate.label[None])
    return -prepared.loss_fn(prepared.params, single), base.Info()


def _cosine(known: Knowledge, candidate: Candidate, received: Params) -> jax.Array:
  """The cosine of a candidate's gradient and a received one of `unit_scale`."""
  own = known_noise.as_sent(known, unit_scale(labelled(known, candidate)), received)
  return cosine_similarity(own, received)
