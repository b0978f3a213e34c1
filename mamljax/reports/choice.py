"""Choice of attacks for an audit: those that apply, cheap ones first, and why others do not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from mamljax.attacks import ATTACKS
from mamljax.attacks.applicability import unfit
from mamljax.attacks.base import Attack, check_learner, name_of, needs_of, tell
from mamljax.attacks.baselines import Loss
from mamljax.attacks.curvature_filter import CurvatureFilter
from mamljax.attacks.knowledge import Knowledge
from mamljax.attacks.matched_filter import MatchedFilter
from mamljax.attacks.noise_filter import NoiseFilter
from mamljax.attacks.reconstruction import Reconstruction
from mamljax.attacks.residual_filter import ResidualFilter
from mamljax.attacks.shadow_classifier import ShadowClassifier
from mamljax.attacks.shadow_matched_filter import ShadowMatchedFilter
from mamljax.audit.compiling import Compile, as_needed, quickly
from mamljax.errors import InputError, unknown
from mamljax.maml import as_learner
from mamljax.reports.setup import Setup, abstract, scoring

DEFENCE, LEARNER = (f'does not model the declared {what}' for what in ('defence', 'learner'))
BLIND = 'does not look at what is sent'
Attacks = str | Attack | Sequence[str | Attack]

# Cheap attacks first. Those that draw shadows for each candidate draw fewer than by default.
_FAST: dict[str, Attack] = {
  **{name: ATTACKS[name]() for name in ('loss', 'gradient_cosine', 'row_space')},
  **{name: ATTACKS[name]() for name in ('silent_units', 'gradient_cosine_z', 'patch_space')},
  'shadow_classifier': ShadowClassifier(shadows=200),
  'matched_filter': MatchedFilter(),
  'noise_filter': NoiseFilter(),
  'curvature_filter': CurvatureFilter(shadows=64, sketch=1024),
  'shadow_matched_filter': ShadowMatchedFilter(shadows=100, swaps=50),
  'residual_filter': ResidualFilter(shadows=24, sketch=1024),
}
_COSTLY = (
  *('patch_space', 'shadow_classifier'),
  *('curvature_filter', 'shadow_matched_filter', 'residual_filter'),
)
_SLOW = {'reconstruction': 'a hundred optimiser steps for each candidate'}
UNASKED = 'not asked for'


class Choice(NamedTuple):
  """Attacks to play.

  Attributes:
    attacks: by name, cheap ones first.
    costly: names of those to play last, each by itself.
    is_auto: whether the costly ones are to be left out where others find enough.
    skipped: of each other attack the reason why it is not played.
    unasked: names of those that may apply, and were not asked for.
  """

  attacks: dict[str, Attack]
  costly: tuple[str, ...]
  is_auto: bool
  skipped: dict[str, str]
  unasked: tuple[str, ...]

  def compiled(self, name: str) -> Compile:
    """The way in which an attack is compiled: quickly, but for hundreds of steps a score."""
    return as_needed if isinstance(self.attacks[name], Reconstruction) else quickly


def choose(attacks: Attacks, setup: Setup, *, argument: str = 'attacks') -> Choice:
  """The attacks to play, and the reasons why others are skipped.

  Args:
    attacks: 'auto' for all that apply but the slow ones, 'all' for these, too, with the sizes
      of the library's defaults; or names and attacks of one's own, mixed.
    setup: the setting.
    argument: name of the argument by which others are asked for.

  Raises:
    InputError: if a name is unknown, or no attack applies.
  """
  asked = _named(attacks)
  skipped = _reasons(asked, setup, reason_against)
  is_auto = is_word(attacks, 'auto')
  slow = [name for name in _SLOW if is_auto and name not in skipped]
  skipped |= {name: _left_out(name, argument) for name in slow}
  chosen = {name: attack for name, attack in asked.items() if name not in skipped}
  if not chosen:
    reasons = '; '.join(skipped.values())
    raise InputError(f'no attack applies to the {setup.knowledge.target} set: {reasons}')
  others = _others(asked)
  unfit = _reasons(others, setup, refusal)
  skipped |= {
    name: f'{UNASKED}, and would not apply: {unfit[name]}' if name in unfit else UNASKED
    for name in others
  }
  # Without noise it asks what the matched filter asks, at ten times the cost.
  named = _COSTLY if setup.defence.has_hooks else (_COSTLY[0], 'noise_filter', *_COSTLY[1:])
  costly = tuple(name for name in (*named, *_SLOW) if name in chosen)
  unasked = *(name for name in others if name not in unfit), *slow
  return Choice(chosen, costly, is_auto, skipped, unasked)


def is_word(attacks: Attacks, *words: str) -> bool:
  """Tests whether attacks are asked for by one of some words, such as 'auto'."""
  return isinstance(attacks, str) and attacks in words


def _reasons(
  attacks: Mapping[str, Attack], setup: Setup, against: Callable[[Attack, Setup], str | None]
) -> dict[str, str]:
  """The reasons against some attacks, without those against which there is none."""
  return {name: reason for name, one in attacks.items() if (reason := against(one, setup))}


def _others(asked: Mapping[str, Attack]) -> dict[str, Attack]:
  """The attacks of the library that were not asked for, with any options."""
  kinds = {type(attack) for attack in asked.values()}
  others = {name: kind for name, kind in ATTACKS.items() if kind not in kinds}
  return {name: _FAST.get(name) or kind() for name, kind in others.items()}


def _left_out(name: str, argument: str) -> str:
  return f"left out of 'auto' for its cost, {_SLOW[name]}: ask for it by {argument}='all'"


def _named(attacks: Attacks) -> dict[str, Attack]:
  """The attacks that are asked for, each by a name of its own."""
  if is_word(attacks, 'auto', 'all'):
    slow = {name: ATTACKS[name]() for name in _SLOW}
    fast = _FAST if attacks == 'auto' else {name: ATTACKS[name]() for name in _FAST}
    return {**fast, **slow}
  listed: Any = [attacks] if isinstance(attacks, str) or hasattr(attacks, 'score') else attacks
  named: dict[str, Attack] = {}
  for item in listed:
    name, attack = _one(item)
    alike = sum(other.rpartition('_')[0] == name or other == name for other in named)
    named[f'{name}_{alike + 1}' if name in named else name] = attack
  return named


def _one(item: Any) -> tuple[str, Attack]:
  """An attack with its name, from either."""
  if isinstance(item, str):
    if item not in ATTACKS:
      raise unknown('attack', item, [*ATTACKS, 'auto', 'all'])
    return item, ATTACKS[item]()
  if isinstance(item, type) or not hasattr(item, 'score'):
    hint = f': pass an object, {item.__name__}()' if isinstance(item, type) else ''
    raise InputError(f'attacks are names or attack objects, not {item!r}{hint}')
  return name_of(item), item


def reason_against(attack: Attack, setup: Setup) -> str | None:
  """The reason why an attack cannot be played, found without computing it; None if it can."""

  def traced() -> str | None:
    return _unscorable(attack, tell(attack, setup.knowledge), setup)

  return refusal(attack, setup) or _said(traced, attack, setup)


def refusal(attack: Attack, setup: Setup) -> str | None:
  """The reason why an attack is refused from the first; None if it is not.

  Its preparation and its scores, which take seconds to trace, may refuse for other reasons.
  """
  known, name = setup.knowledge, name_of(attack)
  defended = setup.defence.has_hooks
  reason = setup.adversary.refusal(attack, known.target, defended=defended)
  if reason:
    return reason
  needs = needs_of(attack, known.target, withheld=known.withheld)
  if 'separate_images' in needs and not setup.is_separate:
    return (
      f'attack {name!r} needs a loss that is a mean over images that do not see each other: '
      f'the loss of several images is not the mean of theirs (batch normalisation?)'
    )

  def checked() -> str | None:
    check_learner(attack, setup.inner, target=known.target)
    return unfit(attack, abstract(tell(attack, known)), setup.shape)

  return _said(checked, attack, setup)


def _said(reason: Callable[[], str | None], attack: Attack, setup: Setup) -> str | None:
  """The reason against an attack, returned or raised."""
  try:
    return reason()
  except InputError as error:
    return str(error)
  except TypeError as error:
    if type(attack) not in ATTACKS.values() or not setup.defence.has_hooks:
      raise  # not about a defence whose strength is not published
    return str(error)


def _unscorable(attack: Attack, told: Knowledge, setup: Setup) -> str | None:
  """The reason why an attack cannot be prepared or its score computed; None if it can."""
  try:
    score, arguments = scoring(attack, told, setup)
    jax.eval_shape(score, *arguments)
  except ValueError as error:
    return str(error)
  return None


def notes(attacks: Mapping[str, Attack], setup: Setup, *, plain: bool) -> dict[str, list[str]]:
  """Blind spots of each attack, of `DEFENCE`, `LEARNER` and `BLIND`.

  Args:
    attacks: the attacks by name.
    setup: the setting.
    plain: whether learners run gradient descent and send what it gives, as every attack assumes
      at the least.
  """
  found: dict[str, list[str]] = {}
  for name, attack in attacks.items():
    if type(attack) is Loss:
      found[name] = [BLIND]
      continue
    target = setup.knowledge.target
    needs, lacking = attack.requires[target], []
    knows = attack.allows_for(setup.defence, target) and setup.adversary.defence
    if not knows or _is_rescaled(setup):
      lacking += [DEFENCE] * setup.defence.has_hooks
    if not plain and not ('inner_loop' in needs and setup.adversary.learner):
      lacking.append(LEARNER)
    found[name] = lacking
  return found


def _is_rescaled(setup: Setup) -> bool:
  """Tests whether what is sent has noise in other units than those in which it is read.

  Steps are read as a gradient: over their rate and number, which an adversary that knows them
  does to the noise on them as well, but not over rates of each parameter.
  """
  learner = as_learner(setup.inner)
  is_undone = setup.adversary.learner and learner.rates is None
  return learner.kind.descends and not is_undone and setup.defence.outgoing is not None
