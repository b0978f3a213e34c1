"""Shadow classifier: what several closed forms say together, weighed on shadow tasks.

The closed forms look at one thing each: which traces are missing from which layer, how near
patches are to a span, a cosine, a loss. How much each of them tells, and of which layer,
depends on the network, on how far it is trained, on the shape of the task, and on the defence.
All of that is published. So the adversary plays the learner with public images
(`shadow_tasks`), scores members and other images of each task, and fits a logistic regression
of membership on the scores:

    min_(v, b)  mean_i log(1 + exp(-y_i (v' x_i + b))) + (penalty / 2) |v|^2.

The score is v' x + b, the log odds. A defence is not modelled but applied: whatever it does is
done to the shadows, too, and what it spoils gets no weight. (Attack models on the outputs of
shadow models: Shokri et al., 2017.)

Missing traces enter as square roots, layer by layer: the step of the adaptation moves some
units of a member across 0, so that a few are missing, and many more say little more. Which ones
depends on a support set that nobody sees, but public images tell what adaptations hardly ever
move. A trace that the candidate leaves after each of some adaptations is steadfast; one that is
missing nevertheless speaks against a member, and their share is evidence of its own.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks import base
from mamljax.attacks.applicability import unfit
from mamljax.attacks.base import Attack, Requirements, Threshold, guarded, name_of, required
from mamljax.attacks.baselines import GradientCosine, Loss
from mamljax.attacks.gaussian.known_noise import is_readable
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.footprints import steadfast
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_defence
from mamljax.attacks.patch_space import PatchSpace
from mamljax.attacks.readable import SpanReader
from mamljax.attacks.regression import regress
from mamljax.attacks.shadow_tasks import draw_adapted, draw_shadow_task
from mamljax.attacks.silent_units import SilentUnits, find_silences, missing_shares
from mamljax.checks import count, positive
from mamljax.defences.defence import Defence
from mamljax.errors import InputError
from mamljax.types import Params, Pool

_PARTS: tuple[Attack, ...] = (SilentUnits(), PatchSpace(), GradientCosine(), Loss())
_TELLING = 2  # the first of them: without any, little would be learned
_USUAL = 150  # references of a class that images are compared with; more tell no more
_ADAPTATIONS = 32  # to public images, that say which units a step may switch off
_LEAST = 1e-6  # of a spread, and of a loss in a logarithm


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the shadow classifier.

  Attributes:
    evidence: what each part says, in standard deviations of the shadows, [evidence].
    weights: v, [evidence].
  """

  evidence: jax.Array
  weights: jax.Array


class Prepared(NamedTuple):
  """Parts that apply, and what shadows tell of their weights.

  Attributes:
    knowledge: that of the adversary, but for the references.
    parts: by name, each as it prepared itself, with no knowledge of its own.
    adapted: parameters after adaptations to public images, with a leading axis of them.
    centre: the mean of the evidence over shadows, [evidence].
    spread: its standard deviation, [evidence].
    weights: v, [evidence].
    bias: b.
  """

  knowledge: Knowledge
  parts: dict[str, Any]
  adapted: Params
  centre: jax.Array
  spread: jax.Array
  weights: jax.Array
  bias: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ShadowClassifier(SpanReader):
  """Logistic regression on scores of closed forms, learned from shadow tasks, for either set.

  Attributes:
    shadows: tasks drawn of public images (a length, so a change of it recompiles).
    pairs: members of each that are scored, beside as many other images (a length).
    penalty: of the squared weights, for each scored image.
  """

  shadows: int = dataclasses.field(default=400, metadata=count(2))
  pairs: int = dataclasses.field(default=3, metadata=count(1))
  penalty: float | jax.Array = dataclasses.field(default=1e-3, metadata=positive())

  requires: ClassVar[Requirements] = {
    'query': frozenset({'references', 'inner_loop', 'defence', 'shots', 'separate_images'}),
    'support': frozenset(
      {'references', 'inner_loop', 'defence', 'shots', 'separate_images', 'query_set'}
    ),
  }
  optional: ClassVar[Requirements] = {'support': frozenset({'query_set'})}
  threshold: ClassVar[Threshold] = 0.0  # even odds

  def held(self, parameters: int) -> int:
    """Least number of floats kept: the adapted parameters."""
    return _ADAPTATIONS * parameters

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network on which none of the telling parts can be run."""
    reasons = [unfit(part, knowledge, image.shape) for part in _PARTS[:_TELLING]]
    if all(reasons):
      raise InputError("attack 'shadow_classifier': " + '; '.join(filter(None, reasons)))

  def allows_for(self, defence: Defence, target: str) -> bool:
    """All of it, since shadows are sent through it; see `Attack.allows_for`."""
    del defence, target
    return True

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Plays shadow tasks, and learns what each part's score is worth.

    Some references of each class say what is usual, and the rest are drawn for shadows: an
    image in both would be compared with itself.

    Raises:
      InputError: if the classes have too few references for a shadow task.
      ValueError: if there are no references, or not equally many of each class.
    """
    required(self, knowledge)
    if knowledge.references is None:
      raise ValueError('shadow tasks cannot be drawn without references')
    checks.references(knowledge.references)
    usual, drawn = _divide(knowledge.references, least=2 * knowledge.shots + 1)
    shape = knowledge.references.images.shape[1:]
    known = dataclasses.replace(knowledge, references=None)
    compared = dataclasses.replace(_told(knowledge), references=usual)
    parts = {
      name_of(part): _with(part.prepare(jax.random.key(0), compared), None)
      for part in _PARTS
      if unfit(part, compared, shape) is None
    }
    key, key_adapt = jax.random.split(key)
    keys = jax.random.split(key_adapt, _ADAPTATIONS)
    adapted = jax.lax.map(lambda key: draw_adapted(key, known, drawn), keys)
    sources = _Sources(known, parts, adapted)

    def play(key: jax.Array) -> jax.Array:
      key_task, key_score = jax.random.split(key)
      shadow = draw_shadow_task(key_task, known, drawn, pairs=self.pairs)

      def gather(candidate: Candidate) -> jax.Array:
        return _gather(key_score, sources, shadow.observation, candidate)

      return jax.vmap(gather)(shadow.candidates)

    rows = jax.lax.map(play, jax.random.split(key, self.shadows))
    rows = rows.reshape(-1, rows.shape[-1])
    signs = jnp.tile(jnp.repeat(jnp.array([1.0, -1.0]), self.pairs), self.shadows)
    told = jnp.isfinite(rows).all(axis=1)
    centre, spread = _moments(rows, told)
    even = jnp.where(told[:, None], (rows - centre) / spread, 0)
    weights, bias = regress(even, signs, told, self.penalty)
    return Prepared(*sources, centre, spread, weights, bias)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes the log odds of member and non-member, above 0 for a member.

    It depends neither on the scale of the gradient nor on the order of the images.

    Args:
      key: a random key, for known noise on images.
      prepared: from `prepare`.
      observation: the received gradient and, if it is not withheld, the query set.
      candidate: the image x_0 and its slot.

    Returns:
      A scalar and an `Info`.
    """
    sources = _Sources(prepared.knowledge, prepared.parts, prepared.adapted)
    found = _gather(key, sources, observation, candidate)
    even = (found - prepared.centre) / prepared.spread
    odds = prepared.weights @ even + prepared.bias
    return odds, Info(evidence=even, weights=prepared.weights)


class _Sources(NamedTuple):
  """Sources of evidence; see `Prepared`."""

  knowledge: Knowledge
  parts: dict[str, Any]
  adapted: Params


def _gather(
  key: jax.Array, sources: _Sources, observation: Observation, candidate: Candidate
) -> jax.Array:
  """The evidence of each part about a candidate, [evidence]."""
  found, told = [], _told(sources.knowledge)
  for part in _PARTS:
    if (name := name_of(part)) in sources.parts:
      prepared = _with(sources.parts[name], told)
      found.append(_EVIDENCE[name](*part.score(key, prepared, observation, candidate)))
  if name_of(SilentUnits()) in sources.parts:
    found.append(_steadfast_traces(told, sources.adapted, observation, candidate))
  return jnp.concatenate(found)


def _steadfast_traces(
  knowledge: Knowledge, adapted: Params, observation: Observation, candidate: Candidate
) -> jax.Array:
  """The missing share of each layer's steadfast traces, as a square root, [layers]."""
  layers = find_layers(knowledge.loss_fn, knowledge.params, candidate.image)
  expected = steadfast(layers, adapted, candidate.image, candidate.label)
  return jnp.sqrt(missing_shares(expected, find_silences(layers, knowledge, observation)))


def _told(knowledge: Knowledge) -> Knowledge:
  """The knowledge of a part: without what is done to a message, if no part can read it.

  It then takes the message for a gradient. Shadows are sent through the defence all the same.
  """
  defence = known_defence(knowledge)
  if defence is None or is_readable(defence):
    return knowledge
  return dataclasses.replace(knowledge, defence=defence._replace(outgoing=None))


def _with(prepared: Any, knowledge: Knowledge | None) -> Any:
  """A preparation with that knowledge in place of its own."""
  if prepared is None or isinstance(prepared, Knowledge):
    return knowledge
  return prepared._replace(knowledge=knowledge)


def _traces(_: jax.Array, info: Any) -> jax.Array:
  """The missing share of each layer's footprint and the silence elsewhere, [2 * layers]."""
  return jnp.sqrt(jnp.concatenate([info.missing, info.elsewhere]))


def _number(score: jax.Array, _: Any) -> jax.Array:
  """A score as it is."""
  return score[None]


def _confidence(score: jax.Array, _: Any) -> jax.Array:
  """The logarithm of a loss, of which the score is the negative."""
  return jnp.log(jnp.maximum(-score, _LEAST))[None]


_EVIDENCE = {
  'silent_units': _traces,
  'patch_space': _number,
  'gradient_cosine': _number,
  'loss': _confidence,
}


def _divide(pool: Pool, *, least: int) -> tuple[Pool, Pool]:
  """Some references of each class, two to half of them, and the rest, at least so many."""
  classes = len(pool.counts)
  by_class = pool.images.reshape(classes, -1, *pool.images.shape[1:])
  each = by_class.shape[1]
  few = min(each // 2, _USUAL, each - least)
  if few < 2:
    raise InputError(
      f"attack 'shadow_classifier' needs {least + 2} references of each class or more for its "
      f'shadow tasks, not {each}'
    )
  return _pool(by_class[:, :few]), _pool(by_class[:, few:])


def _pool(by_class: jax.Array) -> Pool:
  """Images [classes, each, ...] as a pool."""
  classes, each = by_class.shape[:2]
  starts = each * jnp.arange(classes, dtype=jnp.int32)
  flat = by_class.reshape(-1, *by_class.shape[2:])
  return Pool(flat, starts, jnp.full(classes, each, jnp.int32))


def _moments(rows: jax.Array, told: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The mean and the standard deviation of the rows that are told, [evidence] each."""
  known = told[:, None]
  total = jnp.maximum(told.sum(), 1)
  centre = jnp.where(known, rows, 0).sum(axis=0) / total
  variance = jnp.where(known, (rows - centre) ** 2, 0).sum(axis=0) / total
  return centre, jnp.maximum(jnp.sqrt(variance), _LEAST)
