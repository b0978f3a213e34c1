"""Contract of an attack.

An attack is a frozen, keyword-only dataclass and a pytree (`jax.tree_util.register_dataclass`).
Its fields are its own options and nothing else: lengths and choices are static, real numbers
are leaves, so that a change of them does not recompile. Its two methods are pure, and made for
`vmap`: `prepare`, once for all trials at one w, and `score`, once for each trial. An attack of
one's own is an object of any class that satisfies `Attack`, most easily one derived from
`BaseAttack`.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_defence
from mamljax.checks import Checked
from mamljax.defences.defence import Defence
from mamljax.errors import InputError
from mamljax.maml import Inner, as_learner, undefended
from mamljax.numerics import is_finite
from mamljax.protocol.learner import Learner, check_target

# Requirements of an attack beyond the loss, w and the gradient. 'separate_images' is one of the
# loss: a mean over images that do not see each other, as under batch normalisation they do.
Need = Literal[
  'query_set', 'defence', 'inner_loop', 'references', 'classes', 'shots', 'separate_images'
]
Needs = frozenset[Need]
Requirements = Mapping[str, Needs]  # of each set that an attack can seek
Threshold = float | None | Mapping[str, float]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
  """Diagnostics beside a score; an attack's own are added in a subclass.

  Attributes:
    reconstruction: the candidate's image as the attack reconstructed it, [height, width,
      channels], if it reconstructs any.
    inferred_labels: the labels of the targeted set [n], if the attack infers them.
  """

  reconstruction: jax.Array | None = None
  inferred_labels: jax.Array | None = None


class Attack(Protocol):
  """An attack: options as fields, and two pure methods that a vmap can map.

  Attributes:
    requires: for each set that the attack can seek, what it must know.
    optional: for each of these sets, what it uses but can do without, since it infers it or
      leaves it out; see `Knowledge.withheld`.
    threshold: the score above which a candidate of an undefended learner is a member, where
      that is known beforehand, for either set or by the name of a set; None, or no name, if
      trials must choose it.
  """

  requires: ClassVar[Requirements]
  optional: ClassVar[Requirements]
  threshold: ClassVar[Threshold]

  @property
  def smallest_image(self) -> int:
    """Least side of an image, in pixels; 0 where vectors serve, too."""
    ...

  @property
  def passes(self) -> int:
    """Number of times that one trial goes through a set of images."""
    ...

  @property
  def sets_at_once(self) -> int:
    """Number of sets that one trial differentiates together, 0 if it goes image by image."""
    ...

  def held(self, parameters: int) -> int:
    """Least number of floats kept of public images, for a network of so many parameters."""
    ...

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network that the attack cannot be run on, before anything is computed.

    Args:
      knowledge: what the adversary knows; its arrays may be `jax.ShapeDtypeStruct`s.
      image: shape and type of an image.

    Raises:
      InputError: if the attack does not apply to that network.
    """
    ...

  def refuses(self, learner: Learner, target: str) -> str | None:
    """The reason why the attack does not model a learner, after its name; None if it does."""
    ...

  def allows_for(self, defence: Defence, target: str) -> bool:
    """Tests whether the attack on a set models all that a published defence does."""
    ...

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Any:
    """Computes what all trials at one w share.

    Args:
      key: a random key.
      knowledge: what the adversary knows; `required` says which parts of it are looked at.

    Returns:
      A `Knowledge`, or a pytree with one as its `knowledge`.

    Raises:
      InputError: if the attack does not apply to that knowledge.
    """
    ...

  def score(
    self, key: jax.Array, prepared: Any, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Scores the membership of one candidate.

    Args:
      key: a random key.
      prepared: from `prepare`.
      observation: what arrives in this trial.
      candidate: the image and its slot.

    Returns:
      A scalar, higher for a member, and diagnostics.
    """
    ...


class BaseAttack(Checked):
  """Defaults of the contract, for an attack to derive from."""

  requires: ClassVar[Requirements]
  optional: ClassVar[Requirements] = {}
  elsewhere: ClassVar[Mapping[str, str]] = {}  # which attack seeks another set
  threshold: ClassVar[Threshold] = None

  @property
  def smallest_image(self) -> int:
    """Least side of an image, in pixels; 0 where vectors serve, too."""
    return 0

  @property
  def passes(self) -> int:
    """Number of times that one trial goes through a set of images."""
    return 1

  @property
  def sets_at_once(self) -> int:
    """Number of sets that one trial differentiates together, 0 if it goes image by image."""
    return 0

  def held(self, parameters: int) -> int:
    """Least number of floats kept of public images, for a network of so many parameters."""
    del parameters
    return 0

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses nothing; see `Attack.check_model`."""
    del knowledge, image

  def refuses(self, learner: Learner, target: str) -> str | None:
    """No reason: an attack that models some learners alone says which; see `Attack.refuses`."""
    del learner, target
    return None

  def allows_for(self, defence: Defence, target: str) -> bool:
    """All of it, if the attack requires the defence at all; see `Attack.allows_for`."""
    del defence, target
    return any('defence' in needs for needs in self.requires.values())

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Any:
    """Prepares nothing; see `Attack.prepare`."""
    del key
    required(self, knowledge)
    return knowledge


def name_of(attack: Any) -> str:
  """Name of an attack, or of its class, in lower case with underscores.

  >>> class MatchedFilter: ...
  >>> name_of(MatchedFilter), name_of(MatchedFilter())
  ('matched_filter', 'matched_filter')
  """
  kind = attack if isinstance(attack, type) else type(attack)
  return re.sub('(?<=.)(?=[A-Z])', '_', kind.__name__).lower()


def required(attack: 'Attack | BaseAttack', knowledge: Knowledge) -> Needs:
  """Requirements of an attack on the target, without what is withheld.

  Raises:
    InputError: if the attack cannot seek that set, or cannot do without what is withheld, or
      does not model the learner, where one is known.
  """
  needs = needs_of(attack, knowledge.target, withheld=knowledge.withheld)
  if knowledge.inner is not None:
    check_learner(attack, knowledge.inner, target=knowledge.target)
  return needs


def check_learner(attack: 'Attack | BaseAttack', inner: Inner, *, target: str) -> None:
  """Refuses a learner that the attack does not model, or whose message lacks the target."""
  learner = as_learner(inner)
  check_target(learner, target)
  reason = attack.refuses(learner, target)
  if reason is not None:
    raise InputError(f'attack {name_of(attack)!r} {reason}')


def needs_of(
  attack: 'Attack | BaseAttack', target: str, *, withheld: frozenset[str] = frozenset()
) -> Needs:
  """Requirements of an attack on a set, without what is withheld; see `required`."""
  name = name_of(attack)
  checks.one_of('target', target, checks.TARGETS)
  if target not in attack.requires:
    known, reason = ', '.join(attack.requires), getattr(attack, 'elsewhere', {}).get(target)
    why = f': {reason}' * bool(reason)
    raise InputError(f'attack {name!r} has no target {target!r}, only: {known}{why}')
  needs = attack.requires[target]
  missing = (needs & withheld) - attack.optional.get(target, frozenset())
  if missing:
    raise InputError(
      f'attack {name!r} on the {target} set cannot do without {" and ".join(sorted(missing))}, '
      f'which the adversary is not given'
    )
  return needs - withheld


def threshold_of(attack: Any, target: str) -> float | None:
  """The threshold of an attack on a set that is known beforehand; None if trials choose it."""
  known = attack.threshold
  return known.get(target) if isinstance(known, Mapping) else known


def tell(attack: Attack, knowledge: Knowledge) -> Knowledge:
  """The part of some knowledge that an attack requires.

  Who requires the defence is told a learner that sends steps, too: noise is in their units.

  Raises:
    InputError: as `required` does.
  """
  needs = required(attack, knowledge)
  inner, wanted = knowledge.inner, 'inner_loop' in needs
  if 'defence' in needs and inner is not None:
    wanted = wanted or as_learner(inner).kind.descends
  return dataclasses.replace(
    knowledge,
    inner=undefended(inner) if wanted else None,
    references=knowledge.references if 'references' in needs else None,
    defence=known_defence(knowledge) if 'defence' in needs else None,
    shots=knowledge.shots if 'shots' in needs else 0,
  )


def no_image(attack: Any, shape: tuple[int, ...]) -> str:
  """The reason why an attack on images cannot be run on examples of another shape."""
  return (
    f'attack {name_of(attack)!r} compares neighbouring pixels: it needs images [height, width, '
    f'channels], not examples of the shape {list(shape)}'
  )


Score = TypeVar('Score', bound=Callable[..., tuple[jax.Array, Any]])


def guarded(score: Score) -> Score:
  """Makes the `score` of an attack refuse what is no candidate, and what diverged.

  The score is NaN, which no threshold decides, where w or the received gradient is not finite.
  A candidate is not in the span of a gradient of NaN, nor like it in any other way: said as a
  number, that would be the right answer for every non-member, and a model that broke would pass
  for one that protects.
  """

  @functools.wraps(score)
  def guarding(
    self: Any, key: jax.Array, prepared: Any, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Any]:
    candidate.check()
    found, info = score(self, key, prepared, observation, candidate)
    known = prepared if isinstance(prepared, Knowledge) else prepared.knowledge
    told = is_finite((known.params, observation.gradient))
    return jnp.where(told, found, jnp.nan), info

  return cast(Score, guarding)
