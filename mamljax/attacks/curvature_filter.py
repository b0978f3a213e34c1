"""Curvature filter: tests whether the candidate's Hessian is among those in the gradient.

With one inner step of size a on n images, g = v - (a / n) sum_i H_i(w) v, where v is the
query gradient at the adapted parameters theta and H_i(w) the Hessian of one support image's
loss at w. The first term depends on the support set through theta alone, where ReLUs have
switched: hardly any of it is linear in the images, and its spread over sets of public images,
shadows, is noise. The second is a sum over the images, exactly. Its v follows from
g = v - a H v with the mean Hessian of public images for H; what that misses enters the sum in
order a^2. So single references tell how a term of the sum is distributed in each slot, and
every set of them is a sample of it: far fewer gradients than exact shadows of the sum would
take. With d the candidate's own term less its class's mean, m what is expected of g and C the
two noises' covariance, the test is that of `gaussian.likelihood`.

The noise of a defence, published as it is, is met where it is added: shadows are as noisy as
a learner's sets and adapt as noisily, a term of the sum is that of a noisy image, and what is
added to the gradient that is sent is part of C. Then v is not read off g alone, but weighed
against its mean over the shadows; and a clip is undone by its factor, estimated against it.

The loss must be a mean over images that do not see each other: under batch normalisation no
image has a Hessian of its own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.base import BaseAttack, Requirements, Threshold, guarded, required
from mamljax.attacks.gaussian.known_noise import (
  clip_factor,
  compression_of,
  hooks,
  is_readable,
  over_draws,
  variance_sent,
  without_mean,
)
from mamljax.attacks.gaussian.likelihood import log_likelihood_ratio
from mamljax.attacks.gaussian.shadows import (
  AT_ONCE,
  Info,
  about_mean,
  draw_shadow,
  per_image,
  slot_references,
)
from mamljax.attacks.gaussian.sketches import Sketch, make_sketch
from mamljax.attacks.gaussian.slot_classes import Prepared, find_classes, learn_classes
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import check_readable
from mamljax.checks import count, positive
from mamljax.defences.defence import Defence, Mechanism, PerExample
from mamljax.linear_algebra import low_rank_plus_diagonal
from mamljax.maml import adapt, as_learner
from mamljax.numerics import like
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params

_NOISE = 1  # a stream of randomness beside those of shadows and sketch
_SCALED_BY = 16  # shadows, and images of a class, that say how much each number varies


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvatureFilter(BaseAttack):
  """Filter of single images' Hessians along the query gradient, for the support set.

  Where the classes of the slots are withheld, they are inferred from the query images.

  Attributes:
    shadows: support sets whose query gradients are drawn, at least two (a length, so a
      change of it recompiles).
    sketch: numbers kept of a gradient (a length).
    shrinkage: addition to the covariance, in units of its mean variance.
  """

  shadows: int = dataclasses.field(default=200, metadata=count(2))
  sketch: int = dataclasses.field(default=4096, metadata=count(1))
  shrinkage: float | jax.Array = dataclasses.field(default=0.1, metadata=positive())

  requires: ClassVar[Requirements] = {
    'support': frozenset(
      {'query_set', 'inner_loop', 'references', 'classes', 'separate_images', 'defence'}
    )
  }
  optional: ClassVar[Requirements] = {'support': frozenset({'classes'})}
  threshold: ClassVar[Threshold] = 0.0  # the likelihood ratio's

  def allows_for(self, defence: Defence, target: str) -> bool:
    """All but a compression or a clip of the steps, whose derivatives are left out."""
    clipped = isinstance(defence.inner, Mechanism | PerExample)
    return is_readable(defence) and compression_of(defence) is None and not clipped

  @property
  def passes(self) -> int:
    """Number of shadow tasks."""
    return self.shadows

  def held(self, parameters: int) -> int:
    """Least number of floats kept: the sketches of shadows."""
    return self.shadows * min(self.sketch, parameters)

  def refuses(self, learner: Learner, target: str) -> str | None:
    """The reason why the attack does not model a learner; see `Attack.refuses`."""
    del target
    if learner.deviation is not None:
      return (
        'models plain gradient steps of one rate, and this learner adapts by '
        f'{learner.deviation}'
      )
    name, steps = learner.kind.name, learner.steps
    if name not in ('maml', 'fomaml') or (steps and (steps, name) != (1, 'maml')):
      return (
        f"needs one inner step of exact MAML, 'maml', not {steps} of {name!r}: "
        f"'shadow_matched_filter' takes any"
      )
    return None

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns how classes are told apart, if withheld; the rest depends on each trial."""
    del key
    required(self, knowledge)
    check_readable(self, knowledge, is_readable, terms=False)
    return learn_classes(knowledge)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    Args:
      key: a random key, for the shadows and the sketch.
      prepared: from `prepare`; its references are class after class.
      observation: the received gradient, the query set and, if known, the class of each slot.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.

    Raises:
      ValueError: if the query set, the inner loop, references or classes are not known.
    """
    key_shadows, key_sketch = jax.random.split(key)
    key_images, key_own = jax.random.split(jax.random.fold_in(key, _NOISE))
    known, labels = prepared.knowledge, observation.support_labels
    classes = find_classes(prepared, observation)
    sent = without_mean(known, observation.gradient)
    observation = observation._replace(classes=classes)
    # [ways, each, ...]
    images: Any = hooks(known).support(key_images, slot_references(known, observation))
    query = _query_gradients(key_shadows, known, observation, self.shadows)
    flat, unravel = ravel_pytree(sent)
    factor = clip_factor(known, sent, flat, query.mean(axis=0), solve=lambda mean: mean)
    observation = observation._replace(gradient=unravel(flat / factor))
    noise = variance_sent(known) / factor**2
    direction = _query_gradient(known, observation, images[:, :_SCALED_BY], query, noise)
    term = _Term(known, direction, len(labels))
    shorten = _sketch(key_sketch, query, term, images, noise, self.sketch)
    model = _model(query, images, labels, lambda *image: shorten(term(*image)), shorten)
    own = over_draws(
      key_own, known, 'support', lambda image: term(image, candidate.label), candidate.image
    )
    signal = shorten(own.mean(axis=0)) - model.terms[candidate.label]
    ridge = self.shrinkage * jnp.sum(model.rows**2) / model.rows.shape[1]
    covariance = low_rank_plus_diagonal(model.rows, ridge + noise * shorten.unit_noise())
    read = shorten(observation.gradient)
    told: Any = {'solve': covariance.solve, 'most': 1 / factor}
    residual = read / clip_factor(known, sent, read, model.mean, **told) - model.mean
    ratio = log_likelihood_ratio(covariance, signal, residual)
    info = Info(response=ratio.response, energy=ratio.energy, classes=classes)
    return ratio.value, info


class _Model(NamedTuple):
  """The distribution of the sketched gradient without the candidate.

  Attributes:
    mean: m, [size].
    rows: A, of which C is A'A and a ridge, [rows, size].
    terms: the mean term of an image of each slot, [ways, size].
  """

  mean: jax.Array
  rows: jax.Array
  terms: jax.Array


def _model(
  query: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  term: Callable[[jax.Array, jax.Array], jax.Array],
  shorten: Sketch,
) -> _Model:
  """The distribution that shadows and single references tell.

  Args:
    query: the query gradients of shadows, [shadows, parameters].
    images: references of each slot, [ways, each, ...].
    labels: the slot of each support image, [n].
    term: the sketched term of an image and its slot.
    shorten: the sketch.
  """
  from_query, apart = about_mean(jax.vmap(shorten)(query))
  counts = jnp.bincount(labels, length=len(images))
  terms = per_image(term, images)
  means = terms.mean(axis=1)
  weights = jnp.sqrt(counts / (terms.shape[1] - 1))[:, None, None]
  spread = ((terms - means[:, None]) * weights).reshape(-1, means.shape[-1])
  rows = jnp.concatenate([apart / (len(apart) - 1) ** 0.5, spread])
  return _Model(from_query + counts @ means, rows, means)


class _Term(NamedTuple):
  """The term of one image in the received gradient: -(a / n) H(w) v, [parameters]."""

  known: Knowledge
  direction: Params
  total: int

  def __call__(self, image: jax.Array, label: jax.Array) -> jax.Array:
    bent = _bend(self.known, Batch(image[None], label[None]), self.direction)
    flat = ravel_pytree(bent)[0]
    return like(flat, -_rate(self.known) / self.total) * flat


def _rate(known: Knowledge) -> float | jax.Array:
  """The inner rate a; 0 where no step is taken."""
  if known.inner is None:
    raise ValueError('the adaptation cannot be simulated without the inner loop')
  learner = as_learner(known.inner)
  if learner.rate is None:
    raise ValueError('the curvature is that of plain gradient steps, which have a rate')
  return learner.rate if learner.steps else 0.0


def _bend(known: Knowledge, batch: Batch, direction: Params) -> Params:
  """Hessian-vector product H(w) v of the mean loss of a batch."""
  gradient = jax.grad(known.loss_fn)
  return jax.jvp(lambda w: gradient(w, batch), (known.params,), (direction,))[1]


def _query_gradients(
  key: jax.Array, known: Knowledge, observation: Observation, count: int
) -> jax.Array:
  """The query gradient after adaptation on each of `count` shadows, [count, parameters]."""
  query, inner, noise = observation.query_set, known.inner, hooks(known)
  if query is None or inner is None:
    raise ValueError('shadows cannot adapt without the query set and the inner loop')

  def after(key: jax.Array) -> jax.Array:
    keys = jax.random.split(jax.random.fold_in(key, _NOISE), 3)
    images: Any = noise.support(keys[0], draw_shadow(key, known, observation))
    support = Batch(images, observation.support_labels)

    def of_step(_: Any, gradient: Params) -> Params:  # the only one
      return noise.inner(keys[1], gradient)

    theta = adapt(known.loss_fn, known.params, support, inner, perturb=of_step)
    noisy: Any = noise.query(keys[2], query.images)
    return ravel_pytree(jax.grad(known.loss_fn)(theta, query._replace(images=noisy)))[0]

  at_once = max(1, AT_ONCE // len(query.labels))
  return jax.lax.map(after, jax.random.split(key, count), batch_size=at_once)


def _query_gradient(
  known: Knowledge, seen: Observation, images: jax.Array, query: jax.Array, noise: jax.Array
) -> Params:
  """The query gradient v = g + a H v, in one round from v = g, with H of references.

  Under noise of some variance on g it is weighed against its mean over shadows, as by Wiener.
  """
  ways, each = images.shape[:2]
  batch = Batch(images.reshape(-1, *images.shape[2:]), jnp.repeat(jnp.arange(ways), each))
  bent = _bend(known, batch, seen.gradient)
  read = jax.tree.map(lambda g, h: g + like(g, _rate(known)) * h, seen.gradient, bent)
  flat, unravel = ravel_pytree(read)
  mean, spread = query.mean(axis=0), query.var(axis=0)
  weight = jnp.where(noise > 0, spread / (spread + jnp.maximum(noise, 1e-30)), 1)
  return unravel(like(flat, mean + weight * (flat - mean)))


def _sketch(
  key: jax.Array,
  query: jax.Array,
  term: _Term,
  images: jax.Array,
  noise: jax.Array,
  size: int,
) -> Sketch:
  """A sketch in which every number of the received gradient varies about alike."""
  first = per_image(term, images[:, :_SCALED_BY])
  varies = about_mean(query[:_SCALED_BY])[1].var(axis=0)
  variance = varies + term.total * first.var(axis=1).mean(axis=0)
  return make_sketch(key, jnp.sqrt(variance + noise), size=size)
