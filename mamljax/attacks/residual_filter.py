"""Residual filter: infers the errors of the query images, and filters what the rest explains.

A trained model's errors on the query set, e = softmax - label, vary over orders of magnitude
with the support set that it adapted to, and the received gradient with them: no Gaussian
describes the gradients of shadows. Given the errors, one does. With K the derivative in w of
the query images' logits after adaptation, [n ways, parameters],

    g = K' e / n,

which is linear in e. So e is estimated first, by least squares against the mean of K over
shadow tasks of public images, with the candidate in half of them, whose spread is the noise.
Then every shadow pulls the same e back, with the candidate and without it: as in
`shadow_matched_filter` their means, d apart, and their covariance C make the test of
`gaussian.likelihood`.

The loss must be a mean of cross-entropies of images that do not see each other: logits are
read off it, as z_b - z_c = loss(c) - loss(b).
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax.attacks.base import (
  BaseAttack,
  Requirements,
  Threshold,
  guarded,
  required,
)
from mamljax.attacks.gaussian import shadows
from mamljax.attacks.gaussian.likelihood import log_likelihood_ratio
from mamljax.attacks.gaussian.shadows import AT_ONCE, about_mean, draw_shadow
from mamljax.attacks.gaussian.sketches import Sketch, make_sketch
from mamljax.attacks.gaussian.slot_classes import Prepared, find_classes, learn_classes
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_ways
from mamljax.checks import count, positive
from mamljax.linear_algebra import (
  LowRankPlusDiagonal,
  low_rank_plus_diagonal,
  product,
  solve_positive,
)
from mamljax.maml import adapt
from mamljax.numerics import like
from mamljax.protocol.learner import Learner
from mamljax.types import Batch, Params

_ROUNDS = 3  # of the estimate of the errors and the shadows' spread given them; 8 do no better
_ROWS = 6  # of K' for each shadow: a third does worse, twice as many no better
_SCALED_BY = 8  # shadows that say how much each number of a gradient varies


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(shadows.Info):
  """Diagnostics of the residual filter.

  Attributes:
    errors: e / n of the query images, as estimated, [n, ways].
  """

  errors: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualFilter(BaseAttack):
  """Filter of shadows given the inferred errors of the query images, for either set.

  Where the support set is sought and the classes of the slots are withheld, they are inferred
  from the query images.

  Attributes:
    shadows: tasks that are drawn, each with the candidate and without, at least two (a length,
      so a change of it recompiles).
    sketch: numbers kept of a gradient (a length).
    shrinkage: addition to the covariance, in units of its mean variance along the shadows.
  """

  shadows: int = dataclasses.field(default=100, metadata=count(2))
  sketch: int = dataclasses.field(default=4096, metadata=count(1))
  shrinkage: float | jax.Array = dataclasses.field(default=0.01, metadata=positive())

  requires: ClassVar[Requirements] = {
    'query': frozenset({'inner_loop', 'references', 'classes', 'separate_images'}),
    'support': frozenset(
      {'query_set', 'inner_loop', 'references', 'classes', 'separate_images'}
    ),
  }
  optional: ClassVar[Requirements] = {'support': frozenset({'classes'})}
  threshold: ClassVar[Threshold] = 0.0  # the likelihood ratio's

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
    if learner.kind.name in ('maml', 'fomaml'):
      return None
    return (
      "reads errors of query images off their gradient, as 'maml' and 'fomaml' send it, "
      f'and this learner sends {learner.kind.name!r}'
    )

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns how classes are told apart, if withheld; shadows depend on those of each trial."""
    del key
    required(self, knowledge)
    return learn_classes(knowledge)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log-likelihood ratio of member and non-member, above 0 for a member.

    Args:
      key: a random key, for the shadows and the sketch.
      prepared: from `prepare`; its references are class after class.
      observation: the received gradient, the class of each slot, if known, and, for the support
        set, the query set.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.

    Raises:
      ValueError: if the inner loop, references or classes are not known, or the support set is
        sought and the query set not known.
    """
    known, ways = prepared.knowledge, known_ways(prepared.knowledge)
    key_mean, key_shadows, key_sketch = jax.random.split(key, 3)
    classes = find_classes(prepared, observation)
    observation = observation._replace(classes=classes)
    shadow = _Shadow(known, observation, candidate)
    units = _unit_errors(len(observation.query_labels), ways)
    keys = jax.random.split(key_mean, max(2, _ROWS * self.shadows // len(units)))
    slopes, shorten = _slopes(keys, key_sketch, shadow, units, self.sketch)
    received, (mean, apart) = shorten(observation.gradient), about_mean(slopes)
    spread = apart.reshape(-1, mean.shape[-1]) / len(slopes) ** 0.5
    keys = jax.random.split(key_shadows, self.shadows)

    def estimate(spread: jax.Array) -> jax.Array:
      # Least squares in the spread's metric, errors of about one unit each being expected.
      solved = _shrunk(spread, self.shrinkage).solve(mean)
      normal = product(mean, solved.T) + jnp.eye(len(mean), dtype=mean.dtype)
      return jnp.tensordot(solve_positive(normal, product(solved, received)), units, 1)

    def refine(errors: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, ...]]:
      centres, apart = about_mean(_send(keys, shadow, errors, shorten))
      spread = apart.reshape(-1, mean.shape[-1]) / (2 * len(keys) - 2) ** 0.5
      return estimate(spread), (errors, centres, spread)

    # What the last round estimates nobody reads; so `_send`, slow to compile, is traced once.
    _, found = jax.lax.scan(refine, estimate(spread), None, length=_ROUNDS)
    errors, (without, with_it), spread = jax.tree.map(lambda leaf: leaf[-1], found)
    covariance = _shrunk(spread, self.shrinkage)
    ratio = log_likelihood_ratio(covariance, with_it - without, received - without)
    info = Info(errors=errors, response=ratio.response, energy=ratio.energy, classes=classes)
    return ratio.value, info


def _shrunk(rows: jax.Array, shrinkage: float | jax.Array) -> LowRankPlusDiagonal:
  """The covariance A'A with a ridge, in units of its trace over the number of rows."""
  return low_rank_plus_diagonal(rows, shrinkage * jnp.sum(rows**2) / len(rows))


PullBack = Callable[[jax.Array], Params]


def _pull_back(known: Knowledge, support: Batch, query: jax.Array, ways: int) -> PullBack:
  """The map K' from errors to a gradient in w; errors [n, ways] sum to 0 for each query image.

  Raises:
    ValueError: if the inner loop is not known.
  """
  if known.inner is None:
    raise ValueError('shadows cannot adapt without the inner loop')
  inner, labels = known.inner, jnp.arange(ways)

  def losses(params: Params) -> jax.Array:
    theta = adapt(known.loss_fn, params, support, inner)

    def one(image: jax.Array, label: jax.Array) -> jax.Array:
      return known.loss_fn(theta, Batch(image[None], label[None]))

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(query, labels)

  at_w, back = jax.vjp(losses, known.params)
  return lambda errors: back(like(at_w, -errors))[0]


class _Shadow(NamedTuple):
  """Shadow task of public images, by its key and whether the candidate is in it: its K'."""

  known: Knowledge
  observation: Observation
  candidate: Candidate

  def __call__(self, key: jax.Array, holds_candidate: jax.Array | bool) -> PullBack:
    key_support, key_query = jax.random.split(key)
    known, seen = self.known, self.observation
    labels = seen.support_labels
    support = draw_shadow(key_support, known, seen)
    if known.target == 'support':
      if seen.query_set is None:
        raise ValueError('the support set cannot be sought without the query set')
      support, query = self._swap(support, labels, holds_candidate), seen.query_set.images
    else:
      of_query = seen._replace(support_labels=seen.query_labels)
      query = draw_shadow(key_query, known, of_query)
      query = self._swap(query, seen.query_labels, holds_candidate)
    return _pull_back(known, Batch(support, labels), query, known.ways)

  def _swap(self, images: jax.Array, labels: jax.Array, really: jax.Array | bool) -> jax.Array:
    """The images, with the candidate in the first place of its slot if it is to be there."""
    place = jnp.argmax(labels == self.candidate.label)
    return images.at[place].set(jnp.where(really, self.candidate.image, images[place]))


def _unit_errors(images: int, ways: int) -> jax.Array:
  """Errors of the size 1 / n that span all that sum to 0 for each image, [rows, n, ways]."""
  basis = (jnp.eye(ways)[1:] - 1 / ways) / images
  each = jnp.eye(images)[:, None, :, None] * basis[:, None]
  return each.reshape(-1, images, ways)


def _slopes(
  keys: jax.Array, key_sketch: jax.Array, shadow: _Shadow, units: jax.Array, size: int
) -> tuple[jax.Array, Sketch]:
  """Sketched K' of the unit errors for shadows [keys, rows, size], and the sketch.

  Every other shadow holds the candidate.
  """
  shadows = keys, jnp.arange(len(keys)) % 2 == 1

  def each(shorten: Callable[[Params], jax.Array], one: tuple[jax.Array, jax.Array]):
    back = shadow(*one)
    return jax.lax.map(lambda errors: shorten(back(errors)), units, batch_size=AT_ONCE)

  first = jax.tree.map(lambda leaf: leaf[:_SCALED_BY], shadows)
  full = jax.lax.map(lambda one: each(lambda tree: ravel_pytree(tree)[0], one), first)
  deviation = about_mean(full)[1].std(axis=0).mean(axis=0)
  shorten = make_sketch(key_sketch, deviation, size=size)
  return jax.lax.map(lambda one: each(shorten, one), shadows), shorten


def _send(keys: jax.Array, shadow: _Shadow, errors: jax.Array, shorten: Sketch) -> jax.Array:
  """Sketched K' e of every shadow without the candidate and with it, [shadows, 2, size]."""

  def both(key: jax.Array) -> jax.Array:
    return jax.vmap(lambda holds: shorten(shadow(key, holds)(errors)))(jnp.arange(2) == 1)

  return jax.lax.map(both, keys, batch_size=max(1, AT_ONCE // (2 * len(errors))))
