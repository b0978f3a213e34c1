"""What errors the query images still make, and whether the candidate explains the rest.

A trained model's errors on the query set, e = softmax - label, vary over orders of magnitude
with the support set that it adapted to, and the received gradient with them: no Gaussian
describes the gradients of shadows. Given the errors, one does. With K the derivative in w of
the query images' logits after adaptation, [n ways, parameters],

    g = K' e / n,

which is linear in e. So e is estimated first, by least squares against the mean of K over
shadow tasks of public images, with the candidate in half of them, whose spread is the noise.
Then every shadow pulls the same e back, with the candidate and without it. As in
`shadow_matched_filter` their means, d apart, and their covariance C give what would be the
log-likelihood ratio, were they Gaussian,

    d' C^-1 (g - m) - d' C^-1 d / 2.

The loss must be a mean of cross-entropies of images that do not see each other: logits are
read off it, as z_b - z_c = loss(c) - loss(b).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mamljax import checks
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.refusal import refuses_divergence
from mamljax.attacks.shadows import (
  AT_ONCE,
  about_mean,
  draw_shadow,
  likelihood_ratio,
  solve_positive,
  solve_ridged,
)
from mamljax.attacks.sketches import Sketch, make_sketch
from mamljax.attacks.slot_classes import Prepared, find_classes, learn_classes
from mamljax.checks import Checked, choice, count, positive
from mamljax.dtypes import like
from mamljax.errors import InputError
from mamljax.maml import adapt
from mamljax.types import Batch, Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How many shadows, and how their covariance is inverted.

  Attributes:
    target: the set that is sought.
    ways: slots of a task.
    classes: 'known' if the adversary is told which class each slot holds, or 'unknown': then
      it infers them from the query images.
    shadows: tasks that are drawn, each with the candidate and without, at least two (a length,
      so a change of it recompiles).
    sketch: numbers kept of a gradient (a length).
    shrinkage: added to the covariance, in units of its mean variance along the shadows.
  """

  target: str = dataclasses.field(default='support', metadata=choice('query', 'support'))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  classes: str = dataclasses.field(default='known', metadata=choice('known', 'unknown'))
  shadows: int = dataclasses.field(default=100, metadata=count(2))
  sketch: int = dataclasses.field(default=4096, metadata=count(1))
  shrinkage: float | jax.Array = dataclasses.field(default=0.01, metadata=positive())


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    errors: e / n of the query images, as estimated, [n, ways].
    response: d' C^-1 (g - m).
    energy: d' C^-1 d, how much the candidate would stand out.
    classes: of each slot, as known or inferred, [ways].
  """

  errors: jax.Array
  response: jax.Array
  energy: jax.Array
  classes: jax.Array


_ALWAYS = frozenset({'inner_loop', 'references', 'classes', 'separate_images'})
REQUIRES = {'query': _ALWAYS, 'support': _ALWAYS | {'query_set'}}
THRESHOLD = 0.0  # the likelihood ratio's

_ROUNDS = 3  # of the estimate of the errors and the shadows' spread given them; 8 do no better
_ROWS = 6  # of K' for each shadow: a third does worse, twice as many no better
_SCALED_BY = 8  # shadows that say how much each number of a gradient varies


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Prepared:
  """How classes are told apart, if unknown; what shadows send depends on those of each trial.

  Raises:
    InputError: if the query set is sought, which is then not known, and classes are unknown.
  """
  del key
  if (options.target, options.classes) == ('query', 'unknown'):
    raise InputError(
      "attack 'residual_filter' infers unknown classes from the query set, which it does not "
      "know where the target is 'query': 'matched_filter' infers them from the gradient"
    )
  return learn_classes(knowledge, options.classes)


@refuses_divergence
def score(
  key: jax.Array,
  prepared: Prepared,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """The log-likelihood ratio in units of its standard deviation, higher for a member.

  Args:
    key: a random key, for the shadows and the sketch.
    prepared: from `prepare`; its references are class after class.
    observation: the received gradient, the class of each slot, if known, and, for the support
      set, the query set.
    candidate: the image x_0 and its slot.
    options: how many shadows, and how the covariance is inverted.

  Returns:
    A scalar and an `Info`.

  Raises:
    ValueError: if the inner loop, references or classes are not known, or the support set is
      sought and the query set not known.
  """
  candidate.check()
  checks.whole('ways in the options', options.ways, least=1)
  key_mean, key_shadows, key_sketch = jax.random.split(key, 3)
  classes = find_classes(prepared, observation, ways=options.ways)
  seen = observation._replace(classes=classes)
  shadow = _Shadow(prepared.knowledge, seen, candidate, options)
  units = _unit_errors(len(seen.query_labels), options.ways)
  slopes, short = _slopes(key_mean, key_sketch, shadow, units, options)
  received, (mean, apart) = short(seen.gradient), about_mean(slopes)
  spread = apart.reshape(-1, mean.shape[-1]) / len(slopes) ** 0.5
  keys = jax.random.split(key_shadows, options.shadows)

  def ridge(spread: jax.Array) -> jax.Array:
    return options.shrinkage * jnp.sum(spread**2) / len(spread)

  def estimate(spread: jax.Array) -> jax.Array:
    # Least squares in the spread's metric, errors of about one unit each being expected.
    whitened = solve_ridged(spread, mean, ridge(spread))
    share = solve_positive(mean @ whitened.T + jnp.eye(len(mean)), whitened @ received)
    return jnp.tensordot(share, units, 1)

  def refine(errors: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    centres, apart = about_mean(_send(keys, shadow, errors, short))
    spread = apart.reshape(-1, mean.shape[-1]) / (2 * len(keys) - 2) ** 0.5
    return estimate(spread), (errors, centres, spread)

  # What the last round estimates nobody reads; so `_send`, slow to compile, is traced once.
  _, found = jax.lax.scan(refine, estimate(spread), None, length=_ROUNDS)
  errors, (without, with_it), spread = jax.tree.map(lambda leaf: leaf[-1], found)
  signal = with_it - without
  whitened = solve_ridged(spread, signal, ridge(spread))
  ratio, *told = likelihood_ratio(whitened, signal, received - without)
  return ratio, Info(errors, *told, classes=classes)


PullBack = Callable[[jax.Array], Params]


def _pull_back(known: Knowledge, support: Batch, query: jax.Array, ways: int) -> PullBack:
  """K': errors [n, ways] that sum to 0 for each query image -> the gradient in w.

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
  """A task of public images, by its key, and whether the candidate is in it: its K'."""

  known: Knowledge
  seen: Observation
  candidate: Candidate
  options: Options

  def __call__(self, key: jax.Array, holds_candidate: jax.Array | bool) -> PullBack:
    key_support, key_query = jax.random.split(key)
    labels = self.seen.support_labels
    support = draw_shadow(key_support, self.known, self.seen)
    if self.options.target == 'support':
      if self.seen.query_set is None:
        raise ValueError('the support set cannot be sought without the query set')
      support, query = self._swap(support, labels, holds_candidate), self.seen.query_set.images
    else:
      of_query = self.seen._replace(support_labels=self.seen.query_labels)
      query = draw_shadow(key_query, self.known, of_query)
      query = self._swap(query, self.seen.query_labels, holds_candidate)
    return _pull_back(self.known, Batch(support, labels), query, self.options.ways)

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
  key: jax.Array, key_sketch: jax.Array, shadow: _Shadow, units: jax.Array, options: Options
) -> tuple[jax.Array, Sketch]:
  """K' of the unit errors for shadows, sketched [some, rows, size], and the sketch.

  Every other shadow holds the candidate. Their number keeps the cost of all tasks alike.
  """
  count = max(2, _ROWS * options.shadows // len(units))
  told = jax.random.split(key, count), jnp.arange(count) % 2 == 1

  def each(shorten: Callable[[Params], jax.Array], told: tuple[jax.Array, jax.Array]):
    back = shadow(*told)
    return jax.lax.map(lambda errors: shorten(back(errors)), units, batch_size=AT_ONCE)

  first = jax.tree.map(lambda leaf: leaf[:_SCALED_BY], told)
  full = jax.lax.map(lambda one: each(lambda tree: ravel_pytree(tree)[0], one), first)
  deviation = about_mean(full)[1].std(axis=0).mean(axis=0)
  short = make_sketch(key_sketch, deviation, size=options.sketch)
  return jax.lax.map(lambda one: each(short, one), told), short


def _send(keys: jax.Array, shadow: _Shadow, errors: jax.Array, short: Sketch) -> jax.Array:
  """K' e of every shadow without the candidate and with it, sketched [shadows, 2, size]."""

  def both(key: jax.Array) -> jax.Array:
    return jnp.stack([short(shadow(key, holds)(errors)) for holds in (False, True)])

  return jax.lax.map(both, keys, batch_size=max(1, AT_ONCE // (2 * len(errors))))
