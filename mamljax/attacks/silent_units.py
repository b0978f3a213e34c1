"""Silent units: tests whether the gradient is 0 where the candidate would have left a trace.

With ReLUs, entry (r, k) of a layer's gradient is exactly 0 unless some image of the task had
input r on at a place where unit k was active. An image whose footprint at w has such an entry
was not there. The test needs neither public images nor the classes of the slots, the inner
loop, or the query set where the support set is sought.

Of the support set it is exact. The meta-gradient is the gradient of the query set at theta,
less alpha times the Hessian of the support set's loss at w along some direction, and so on for
further steps. In a layer, that Hessian is sum_ip (da_ip delta_ip' + a_ip ddelta_ip') over the
support images, and no direction of the parameters moves a_ip or delta_ip where a ReLU is off.
So a support image's trace is within its footprint at w; it fills it, unless the network is so
sure of the image that its slopes vanish in floating point. No entry of a member is missing, and
the rule is: a member if and only if none is. What the query set adds can only hide zeros, and
so do many images: of a crowd whose footprints cover every entry nothing is said.

The query set's trace is within its footprint at theta. The step has moved some units across 0,
those first that were near it; so the score is how far what is missing is from switching off,
and trials choose the threshold. First-order MAML sends no trace of the support set.
Implicit MAML's Hessians are those at theta, too, so that trials choose there for either set. So
they must of steps (weight deltas, Reptile): these begin at w, so that no entry of a member is
missing from their sum, but what is small beside w is rounded away in w - theta.

Known noise on what is sent leaves no exact zeros. An entry then counts by the likelihood that
it is noise alone, relative to that of 0: the score fades as noise outgrows the gradient.

A sum over learners is 0 where all of their messages are. The rule is exact of it, too, but the
footprints of all their images hide more and more.

Signs keep zeros. Pruning and rounding to levels make others, so that a 0 there does not say
that a unit was silent; neither does what is left say who was there, since others share it. The
score is then no more than a count, next to chance if a tenth of the numbers is sent; what is
published of a pruning is not allowed for.

Zeros of gradients tell labels and images elsewhere: R-GAP (Zhu and Blaschko, 2021) and R-CONV
(Eltaras et al., 2024) solve layer by layer for one image, SPEAR (Dimitrov et al., 2024) finds
the activity of ReLUs in a batch by sparsity. Here the zeros themselves are the test, for one
image, of either set of a meta-gradient.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks import base
from mamljax.attacks.base import Requirements, Threshold, guarded
from mamljax.attacks.gaussian import known_noise
from mamljax.attacks.gaussian.sums import learners_known
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.footprints import footprints
from mamljax.attacks.gradients.layers import Layers, check_seen, layer_gradient
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import SpanReader
from mamljax.checks import nonnegative
from mamljax.compiler import quick_options
from mamljax.defences.defence import Defence
from mamljax.errors import InputError
from mamljax.types import Params

_READER = "attack 'silent_units'"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the silent units.

  Attributes:
    missing: of each layer the share of the footprint at which the gradient is 0, in [0, 1].
    elsewhere: the share of all other entries at which it is.
  """

  missing: jax.Array
  elsewhere: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class SilentUnits(SpanReader):
  """Zeros of the gradient where the candidate would have left a trace, for either set.

  Attributes:
    rounding: numbers of the gradient up to this share of their layer's largest count as 0: for
      learners whose convolutions, by Winograd's or Fourier's algorithm, leave rounding there.
  """

  rounding: float | jax.Array = dataclasses.field(default=0.0, metadata=nonnegative())

  requires: ClassVar[Requirements] = {
    'query': frozenset({'separate_images', 'defence'}),
    'support': frozenset({'separate_images', 'defence'}),
  }
  # A support image misses no entry. How many a query image misses depends on the step.
  threshold: ClassVar[Threshold] = {'support': -1e-12}

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network in which no unit is ever silent."""
    layers = find_layers(knowledge.loss_fn, knowledge.params, image)
    check_seen(layers, _READER)
    if layers.program.custom:
      raise InputError(
        f'{_READER} cannot tell which units are active: parameters enter a function with '
        f'derivatives of its own'
      )
    if not _has_zeros(layers, knowledge, image):
      raise InputError(
        f'{_READER} needs units that are exactly 0 at times, as with ReLUs: each entry of the '
        f'gradient of this network has a trace of every image, or of none'
      )

  def allows_for(self, defence: Defence, target: str) -> bool:
    """Not for noise that moves theta, if the query set is sought, nor for zeros that are made.

    See `Attack.allows_for`.
    """
    moves = target == 'query' and bool(defence.support or defence.inner)
    return not moves and known_noise.keeps_zeros(defence)

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes minus the shares of the footprint that are missing, summed over layers.

    0 if none is missing. It depends neither on the scale of the gradient, nor on the order of
    images, units or parameters; a layer whose gradient is 0 throughout says nothing.

    Args:
      key: a random key, for known noise on images.
      prepared: from `prepare`.
      observation: the received gradient.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.
    """
    layers = find_layers(prepared.loss_fn, prepared.params, candidate.image)
    expected = _expected(key, layers, prepared, candidate)
    silences = find_silences(layers, prepared, observation, rounding=self.rounding)
    missing = missing_shares(expected, silences)
    elsewhere = [
      _share(footprint == 0, silence.entries)
      for footprint, silence in zip(expected, silences, strict=True)
    ]
    return 0 - missing.sum(), Info(missing=missing, elsewhere=jnp.stack(elsewhere))


class Silence(NamedTuple):
  """Zeros of a layer's gradient.

  Attributes:
    entries: 1 where it is 0, elsewhere how likely it is noise alone, [inputs, features].
    is_told: whether any entry is not 0; a layer that is 0 throughout says nothing.
  """

  entries: jax.Array
  is_told: jax.Array


def find_silences(
  layers: Layers,
  knowledge: Knowledge,
  observation: Observation,
  *,
  rounding: float | jax.Array = 0.0,
) -> list[Silence]:
  """The zeros of a received gradient in each of `layers.seen`, noise that is known allowed for.

  Args:
    layers: of the network.
    knowledge: of the adversary, with the noise on what is sent.
    observation: the received gradient.
    rounding: numbers up to this share of their layer's largest count as 0.
  """
  known = known_noise.on_mean(knowledge, len(observation.query_labels))
  learners = learners_known(knowledge)
  whole = jax.tree.map(lambda g: learners * g, observation.gradient)
  received = known_noise.without_mean(known, whole)
  noise = learners * jnp.sqrt(known_noise.variance_sent(known))

  def one(gradient: jax.Array) -> Silence:
    size = jnp.abs(gradient)
    beyond = jnp.maximum(size - rounding * size.max(), 0)
    entries = jnp.where(beyond == 0, 1, jnp.exp(-((beyond / noise) ** 2) / 2))
    return Silence(entries, size.max() > 0)

  return [one(layer_gradient(layers, layer, received)) for layer in layers.seen]


def missing_shares(expected: Sequence[jax.Array], silences: Sequence[Silence]) -> jax.Array:
  """The share at which each layer is 0 of what is expected, which sums to 1, [layers]."""
  pairs = zip(expected, silences, strict=True)
  return jnp.stack([jnp.where(s.is_told, jnp.sum(e * s.entries), 0) for e, s in pairs])


def _share(where: jax.Array, silence: jax.Array) -> jax.Array:
  """The mean silence of some entries, 0 if there are none."""
  return jnp.sum(where * silence) / jnp.maximum(where.sum(), 1)


def _expected(
  key: jax.Array, layers: Layers, knowledge: Knowledge, candidate: Candidate
) -> list[jax.Array]:
  """The footprint in each layer, the mean over draws of known noise on the images."""

  def one(image: jax.Array) -> Any:
    return footprints(layers, knowledge.params, image, candidate.label)

  target = knowledge.target
  if known_noise.draws(knowledge, target) == 1:
    return one(candidate.image)
  drawn: Any = known_noise.over_draws(key, knowledge, target, one, candidate.image)
  return [layer.mean(axis=0) for layer in drawn]


def _has_zeros(layers: Layers, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> bool:
  """Tests whether the footprints of two sparse images, of random parameters, have other zeros.

  What is 0 in both is so by the layer's shape, as where a filter sees nothing but padding.
  """
  normal = np.random.default_rng(0).standard_normal  # JAX's draws take longer to compile

  def draw(leaf: Any) -> np.ndarray:
    inputs = leaf.size / leaf.shape[-1] if leaf.ndim > 1 else 1
    return np.asarray(normal(leaf.shape) / inputs**0.5, leaf.dtype)

  def find_zeros(params: Params, sparse: jax.Array) -> list[jax.Array]:
    return [layer == 0 for layer in footprints(layers, params, sparse, jnp.zeros((), int))]

  def differ(params: Params, sparse: jax.Array) -> jax.Array:
    zeros = jax.vmap(find_zeros, in_axes=(None, 0))(params, sparse)
    return jnp.array([(one != other).any() for one, other in zeros]).any()

  drawn = jax.tree.map(draw, knowledge.params)
  # NumPy's arrays have values also where an attack is traced of which this is a part.
  sparse = np.asarray(np.maximum(normal((2, *image.shape)), 0), image.dtype)
  options = quick_options(jax.default_backend(), level=0)  # it runs once
  return bool(jax.jit(differ).lower(drawn, sparse).compile(options)(drawn, sparse))
