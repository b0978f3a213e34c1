"""Noise filter: the matched filter that models the defence's noise.

As in `matched_filter`, n g = sum_i gamma(x_i) to first order in the inner rate. A learner that
adds noise of deviation sigma to what it sends, published as defences are, sends n g + n e: if
everything is Gaussian, noise of n C + n^2 sigma^2 I, C the covariance of single images'
gradients. The best test is the filter of C + n sigma^2 I. Noise spreads over all directions of
a gradient alike, the gradients of images keep to few: so no number that varies is thrown away,
each is divided by its deviation, noise included, and their covariance is taken for U L U' + R
with the leading directions U and a diagonal R (factor analysis).

A clip before that noise is undone by its factor s, estimated in each trial; noise of sigma / s
is then left, which C + n (sigma / s)^2 I takes at the factor that public sets lead to expect.

Where each image's term is clipped before the sum, so are the gradients of public images and of
the candidate: at w, as all is here to first order.

Of a sum over learners the others' messages are more noise, as `gaussian.sums` has it.

A compressed message is read as its hook publishes. Of a pruned one the numbers are told that
survived; a sign is a reading of its number with a known error, and so is a rounded number. With
E the variances of these errors, the filter is that of C + n E on the numbers that are told.

Noise on the query images is met where it is added: the public images get as much before their
gradients are learned, and the candidate's d is a mean over such noise. Noise on the support
images or on the adaptation is not allowed for.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.attacks import base
from mamljax.attacks.base import (
  Requirements,
  Threshold,
  guarded,
  required,
)
from mamljax.attacks.gaussian.directions import (
  leading_directions,
  scatter_within,
  variance_within,
)
from mamljax.attacks.gaussian.known_noise import (
  clip_of,
  compression_of,
  hooks,
  is_readable_sum,
  on_mean,
  over_draws,
  term_sent,
  variance_sent,
)
from mamljax.attacks.gaussian.messages import Model, weigh_compressed, weigh_noisy
from mamljax.attacks.gaussian.references import labelled
from mamljax.attacks.gaussian.sketches import label_gradients
from mamljax.attacks.gaussian.sums import learners_known, of_sum
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_defence
from mamljax.attacks.readable import SUPPORT_ELSEWHERE, GradientReader, check_readable
from mamljax.checks import count
from mamljax.defences.defence import Defence
from mamljax.images import as_floats
from mamljax.linear_algebra import LowRankPlusDiagonal
from mamljax.numerics import norm
from mamljax.types import Batch

_CLIP = 2  # a stream of randomness beside those of noise and start
_SETS = 16  # of public images, whose mean gradients say how often a clip is reached
_LEAST = 1e-3  # of a number's variance that the directions leave unexplained


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the noise filter.

  Attributes:
    coefficient: of the candidate's gradient in the received one: 1/n expected of a member.
    energy: d' C^-1 d, how much the candidate stands out of images and noise.
  """

  coefficient: jax.Array
  energy: jax.Array


class Prepared(NamedTuple):
  """The distribution of gradients, as references and defence have it; flat and scaled.

  Attributes:
    knowledge: that of the adversary, but for the references.
    scale: the factor of each number of a gradient, [parameters].
    covariance: of the scaled gradient of an image, and n times that of the noise.
    means: of each class in each slot, [classes, ways, parameters].
  """

  knowledge: Knowledge
  scale: jax.Array
  covariance: LowRankPlusDiagonal
  means: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseFilter(GradientReader):
  """Matched filter that models the defence's noise, for the query set.

  Attributes:
    directions: number of those in which the gradients of single images vary most, that are
      kept (a length, so a change of it recompiles).
  """

  directions: int = dataclasses.field(default=256, metadata=count(1))

  requires: ClassVar[Requirements] = {
    'query': frozenset({'references', 'classes', 'separate_images', 'defence', 'shots'})
  }
  elsewhere: ClassVar[Mapping[str, str]] = SUPPORT_ELSEWHERE
  threshold: ClassVar[Threshold] = 0.0  # the likelihood ratio's

  def allows_for(self, defence: Defence, target: str) -> bool:
    """Not for noise on the support images or the adaptation; see `Attack.allows_for`."""
    del target
    return not (defence.support or defence.inner) and is_readable_sum(defence)

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns how the gradients of single images are distributed at w, and how noise hides them.

    The cost is that of three gradients for every reference and label, once for all trials.

    Raises:
      ValueError: if there are no references, or not equally many of each class, or the size of
        the query set is not known.
      InputError: if the strength of the noise on what is sent is not published.
    """
    required(self, knowledge)
    check_readable(self, knowledge, is_readable_sum)
    if knowledge.ways < 1 or knowledge.shots < 1:
      raise ValueError('noise cannot be weighed without the ways and shots of the query set')
    if knowledge.references is None:
      raise ValueError('the distribution of gradients cannot be learned without references')
    key_noise, key_start = jax.random.split(key)
    key_clip = jax.random.fold_in(key, _CLIP)
    pool = knowledge.references
    checks.references(pool)
    images = pool.images.reshape(len(pool.counts), -1, *pool.images.shape[1:])
    public = jax.random.split(key_noise, images.shape[:2]), as_floats(images)
    gradients = functools.partial(_gradients, knowledge)
    images_sent = knowledge.ways * knowledge.shots
    sent = on_mean(knowledge, images_sent)
    learners = learners_known(knowledge)
    noise = learners * variance_sent(sent) / _usual_factor(key_clip, sent, public[1]) ** 2
    variance = variance_within(gradients, *public) + images_sent * noise
    least = 1e-12 * variance.max()  # below it there is only rounding
    scale = jnp.where(variance > least, jax.lax.rsqrt(jnp.maximum(variance, least)), 0)
    scale = jnp.where(jnp.isfinite(variance).all(), scale, jnp.nan)
    scatter = functools.partial(scatter_within, lambda *one: gradients(*one) * scale, *public)
    along, values, means = leading_directions(key_start, scatter, len(scale), self.directions)
    rest = jnp.maximum(1 - jnp.sum(along**2 * values, axis=1), _LEAST)
    rows = jnp.sqrt(jnp.maximum(values, 1e-6))[:, None] * along.T
    known = dataclasses.replace(knowledge, references=None)
    covariance = of_sum(rows, rest, means, learners=learners, images=images_sent)
    return Prepared(known, scale, covariance, means)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    The order of the images does not matter. The scale of the gradient does: a member adds a
    known amount.

    Args:
      key: a random key, for the noise on the candidate.
      prepared: from `prepare`.
      observation: the received gradient, its slot labels and their classes.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.

    Raises:
      ValueError: if the classes are not known.
    """
    if observation.classes is None:
      raise ValueError('the gradients of single images cannot be expected without classes')
    n, ways = len(observation.query_labels), prepared.knowledge.ways
    shares = jnp.bincount(observation.query_labels, length=ways) / n
    means = prepared.means[observation.classes, jnp.arange(ways)]
    signal = _signal(key, prepared, candidate) - means[candidate.label]
    known, model = on_mean(prepared.knowledge, n), Model(prepared.scale, prepared.covariance)
    is_compressed = compression_of(known_defence(known)) is not None
    weigh = weigh_compressed if is_compressed else weigh_noisy
    received, mean = observation.gradient, shares @ means
    if (learners := learners_known(prepared.knowledge)) > 1:
      received = jax.tree.map(lambda leaf: learners * leaf, received)
      mean += (learners - 1) * shares @ prepared.means.mean(axis=0)
    ratio = weigh(known, model, received, signal, mean, jnp.asarray(n))
    coefficient = ratio.response / jnp.maximum(ratio.energy, 1e-30)
    return ratio.value, Info(coefficient=coefficient, energy=ratio.energy)


def _signal(key: jax.Array, prepared: Prepared, candidate: Candidate) -> jax.Array:
  """The scaled gradient of the candidate in its slot, as two means over noise on it.

  The noise of one would add to its own energy, in every direction of a gradient; that of two
  halves is independent. [2, parameters], the same twice where there is no noise.
  """
  known = prepared.knowledge

  def single(image: jax.Array) -> jax.Array:
    gradient = labelled(known, candidate._replace(image=image))
    return ravel_pytree(term_sent(known, gradient))[0]

  found = over_draws(key, known, 'query', single, candidate.image)
  halves = (
    found.reshape(2, -1, found.shape[-1]) if len(found) > 1 else jnp.stack([found, found])
  )
  return halves.mean(axis=1) * prepared.scale


def _gradients(knowledge: Knowledge, key: jax.Array, image: jax.Array) -> jax.Array:
  """Gradients of an image under each label, with noise as a learner adds it, [ways, size]."""
  noisy: Any = hooks(knowledge).query(key, image)
  found = label_gradients(knowledge.loss_fn, knowledge.params, noisy, knowledge.ways)
  return jax.vmap(lambda tree: ravel_pytree(term_sent(knowledge, tree))[0])(found)


def _usual_factor(key: jax.Array, knowledge: Knowledge, images: jax.Array) -> float | jax.Array:
  """The factor of a clip, on average over query sets of public images [classes, each, ...]."""
  clip = clip_of(knowledge)
  if clip is None:
    return 1.0
  (total, each), ways, shots = images.shape[:2], knowledge.ways, knowledge.shots
  labels = jnp.repeat(jnp.arange(ways), shots)
  sets = jnp.arange(_SETS)[:, None]
  rows = (sets * shots + jnp.tile(jnp.arange(shots), ways)) % each
  noisy: Any = hooks(knowledge).query(key, images[(sets + labels) % total, rows])
  gradient = jax.grad(knowledge.loss_fn)
  sizes = jax.lax.map(lambda x: norm(gradient(knowledge.params, Batch(x, labels))), noisy)
  return jnp.minimum(1, clip / sizes).mean()
