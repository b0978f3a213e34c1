"""The matched filter of whoever knows the noise that protects the gradient.

As in `matched_filter`, n g = sum_i gamma(x_i) to first order in the inner rate. A learner that
adds noise of deviation sigma to what it sends, published as defences are, sends n g + n e: if
everything is Gaussian, noise of n C + n^2 sigma^2 I, C the covariance of single images'
gradients. The best test is the filter of C + n sigma^2 I. Noise spreads over all directions of
a gradient alike, the gradients of images keep to few: so no number that varies is thrown away,
each is divided by its deviation, noise included, and their covariance is taken for U L U' + R
with the leading directions U and a diagonal R (factor analysis). By Woodbury,

    d' (U L U' + R)^-1 y = d' R^-1 y - (P d)' (P y),
    P = M^-1/2 U' R^-1,   M = L^-1 + U' R^-1 U.

Noise on the query images is met where it is added: the public images get as much before their
gradients are learned, and the candidate's d is a mean over such noise. Noise on the support
images or on the adaptation is not allowed for.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.attacks.known_noise import hooks, over_draws, variance_sent, without_mean
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.products import product
from mamljax.attacks.references import labelled
from mamljax.attacks.refusal import refuses_divergence
from mamljax.attacks.sketches import label_gradients
from mamljax.checks import Checked, choice, count


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How gradients are compared.

  Attributes:
    target: the query set.
    ways: slots of a task.
    shots: images of each slot in the query set.
    directions: in which the gradients of single images vary most, that are kept (a length, so
      a change of it recompiles).
  """

  target: str = dataclasses.field(default='query', metadata=choice('query'))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  shots: int = dataclasses.field(default=0, metadata=count(0))
  directions: int = dataclasses.field(default=256, metadata=count(1))


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    coefficient: of the candidate's gradient in the received one: 1/n expected of a member.
    energy: d' C^-1 d, how much the candidate stands out of images and noise.
  """

  coefficient: jax.Array
  energy: jax.Array


REQUIRES = {'query': frozenset({'references', 'classes', 'separate_images', 'defence'})}
THRESHOLD = 0.0  # the likelihood ratio's

Seen = Callable[[jax.Array, jax.Array], jax.Array]

_AT_ONCE = 16  # images whose gradients are computed together
_LEAST = 1e-3  # of a number's variance that the directions leave unexplained


class Prepared(NamedTuple):
  """What the references and the defence tell; gradients are flat and scaled.

  Attributes:
    knowledge: what the adversary knows, but for the references.
    scale: what each number of a gradient is multiplied by, [parameters].
    rest: R, [parameters].
    projection: P, [directions, parameters].
    means: of each class in each slot, [classes, ways, parameters].
  """

  knowledge: Knowledge
  scale: jax.Array
  rest: jax.Array
  projection: jax.Array
  means: jax.Array

  def inner(self, left: jax.Array, right: jax.Array) -> jax.Array:
    """left' (U L U' + R)^-1 right."""
    along = product(self.projection, jnp.stack([left, right], axis=1))
    return jnp.sum(left * right / self.rest) - along[:, 0] @ along[:, 1]


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Prepared:
  """How the gradients of single images are distributed at w, and how noise hides them.

  Its cost is that of three gradients for every reference and label, once for all trials.

  Raises:
    ValueError: if there are no references, or not equally many of each class, or the size of
      the query set is not given.
    TypeError: if the strength of the noise on what is sent is not published.
  """
  if options.ways < 1 or options.shots < 1:
    raise ValueError('noise cannot be weighed without the ways and shots of the query set')
  if knowledge.references is None:
    raise ValueError('the distribution of gradients cannot be learned without references')
  key_noise, key_start = jax.random.split(key)
  pool = knowledge.references
  checks.references(pool)
  images = pool.images.reshape(len(pool.counts), -1, *pool.images.shape[1:])
  public = jax.random.split(key_noise, images.shape[:2]), images.astype(jnp.float32) / 255
  seen = functools.partial(_gradients, knowledge, ways=options.ways)
  images_sent = options.ways * options.shots
  variance = _variance(seen, *public) + images_sent * variance_sent(knowledge)
  least = 1e-12 * variance.max()  # below it there is only rounding
  scale = jnp.where(variance > least, jax.lax.rsqrt(jnp.maximum(variance, least)), 0)
  scale = jnp.where(jnp.isfinite(variance).all(), scale, jnp.nan)
  scatter = functools.partial(_scatter, lambda *one: seen(*one) * scale, *public)
  along, values, means = _lead(key_start, scatter, len(scale), options.directions)
  rest = jnp.maximum(1 - jnp.sum(along**2 * values, axis=1), _LEAST)
  known = dataclasses.replace(knowledge, references=None)
  return Prepared(known, scale, rest, _project(along, values, rest), means)


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
    key: a random key, for the noise on the candidate.
    prepared: from `prepare`.
    observation: the received gradient, its slot labels and their classes.
    candidate: the image x_0 and its slot.
    options: how gradients are compared.

  Returns:
    A scalar and an `Info`.

  Raises:
    ValueError: if the classes are not known.
  """
  candidate.check()
  if observation.classes is None:
    raise ValueError('the gradients of single images cannot be expected without classes')
  n = len(observation.query_labels)
  shares = jnp.bincount(observation.query_labels, length=options.ways) / n
  means = prepared.means[observation.classes, jnp.arange(options.ways)]
  sent = without_mean(prepared.knowledge, observation.gradient)
  received = ravel_pytree(sent)[0] * prepared.scale
  first, second = (half - means[candidate.label] for half in _signal(key, prepared, candidate))
  response = prepared.inner((first + second) / 2, received - shares @ means)
  energy = prepared.inner(first, second)
  coefficient = response / jnp.maximum(energy, 1e-30)
  return response - energy / (2 * n), Info(coefficient, energy)


def _signal(key: jax.Array, prepared: Prepared, candidate: Candidate) -> jax.Array:
  """The scaled gradient of the candidate in its slot, as two means over noise on it.

  The noise of one would add to its own energy, in every direction of a gradient; that of two
  halves is independent. [2, parameters], the same twice where there is no noise.
  """
  known = prepared.knowledge

  def single(image: jax.Array) -> jax.Array:
    return ravel_pytree(labelled(known, candidate._replace(image=image)))[0]

  seen = over_draws(key, known, 'query', single, candidate.image)
  halves = seen.reshape(2, -1, seen.shape[-1]) if len(seen) > 1 else jnp.stack([seen, seen])
  return halves.mean(axis=1) * prepared.scale


def _gradients(
  knowledge: Knowledge, key: jax.Array, image: jax.Array, *, ways: int
) -> jax.Array:
  """Those of an image under each label, with noise as a learner adds it, [ways, size]."""
  noisy: Any = hooks(knowledge).query(key, image)
  seen = label_gradients(knowledge.loss_fn, knowledge.params, noisy, ways)
  return jax.vmap(lambda tree: ravel_pytree(tree)[0])(seen)


def _variance(seen: Seen, keys: jax.Array, images: jax.Array) -> jax.Array:
  """Of each number of a gradient within a class and slot, [size]."""

  def add(sums: Any, one: Any) -> tuple[Any, None]:
    gradients = seen(*one)
    return (sums[0] + gradients, sums[1] + gradients**2), None

  def one_class(public: tuple[jax.Array, jax.Array]) -> jax.Array:
    zero = jnp.zeros_like(jax.eval_shape(seen, *(part[0] for part in public)))
    (first, second), _ = jax.lax.scan(add, (zero, zero), public)
    n = len(public[1])
    return jnp.maximum(second - first**2 / n, 0) / (n - 1)

  return jax.lax.map(one_class, (keys, images)).mean(axis=(0, 1))


def _lead(
  key: jax.Array, scatter: Callable, size: int, count: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The leading directions U [size, count], their variances L, and the means.

  From random directions the covariance is applied once, and once more to what came out (Halko
  et al., 2011).
  """
  start = jax.random.normal(key, (size, min(count, size)))
  basis = jnp.linalg.qr(scatter(jnp.linalg.qr(start)[0])[0])[0]
  spread, means = scatter(basis)
  values, turn = jnp.linalg.eigh(product(basis.T, spread))
  return product(basis, turn), values, means


def _scatter(
  seen: Seen, keys: jax.Array, images: jax.Array, directions: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The covariance within classes and slots times some directions, and the means.

  Args:
    seen: the scaled gradients of an image under each label.
    keys, images: [classes, n].
    directions: [size, m].

  Returns:
    Numbers [size, m] and [classes, ways, size].
  """
  classes, each = images.shape[:2]
  at_once = max(c for c in range(1, _AT_ONCE + 1) if each % c == 0)

  def add(sums: Any, part: Any) -> tuple[Any, None]:
    gradients = jax.vmap(seen)(*part)
    flat = gradients.reshape(-1, gradients.shape[-1])
    return (
      sums[0] + product(flat.T, product(flat, directions)),
      sums[1] + gradients.sum(axis=0),
    ), None

  def one_class(total: jax.Array, public: Any) -> tuple[jax.Array, jax.Array]:
    zero = jnp.zeros_like(jax.eval_shape(seen, *(part[0] for part in public)))
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), public)
    (square, sum_), _ = jax.lax.scan(add, (jnp.zeros_like(directions), zero), parts)
    mean = sum_ / each
    return total + square - each * product(mean.T, product(mean, directions)), mean

  scatter, means = jax.lax.scan(one_class, jnp.zeros_like(directions), (keys, images))
  return scatter / (classes * (each - 1) * means.shape[1]), means


def _project(along: jax.Array, values: jax.Array, rest: jax.Array) -> jax.Array:
  """P = M^-1/2 U' R^-1, with the inverse of a Cholesky factor for the root."""
  weighed = along / rest[:, None]
  inner = jnp.diag(1 / jnp.maximum(values, 1e-6)) + product(along.T, weighed)
  factor = jnp.linalg.cholesky(inner)
  return jax.scipy.linalg.solve_triangular(factor, weighed.T, lower=True)
