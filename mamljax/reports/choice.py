"""Choice of attacks for an audit: those that apply, cheap ones first, and why others do not."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from mamljax.attacks import ATTACKS
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import Attack, check_learner, name_of, needs_of, tell
from mamljax.attacks.curvature_filter import CurvatureFilter
from mamljax.attacks.knowledge import Knowledge
from mamljax.attacks.noise_filter import NoiseFilter
from mamljax.attacks.residual_filter import ResidualFilter
from mamljax.attacks.shadow_matched_filter import ShadowMatchedFilter
from mamljax.defences import Defence
from mamljax.errors import InputError, unknown
from mamljax.reports.setup import Setup, abstract, scoring

DEFENCE, LEARNER = (f'does not model the declared {what}' for what in ('defence', 'learner'))
Attacks = str | Attack | Sequence[str | Attack]

# Cheap attacks first. Those that draw shadows for each candidate draw fewer than by default: a
# few hundred trials then take minutes on a CPU.
_FAST: dict[str, Attack] = {
  **{
    name: ATTACKS[name]() for name in ('loss', 'gradient_cosine', 'row_space', 'silent_units')
  },
  **{name: ATTACKS[name]() for name in ('gradient_cosine_z', 'patch_space', 'matched_filter')},
  'noise_filter': NoiseFilter(),
  'curvature_filter': CurvatureFilter(shadows=64, sketch=1024),
  'shadow_matched_filter': ShadowMatchedFilter(shadows=100, swaps=50),
  'residual_filter': ResidualFilter(shadows=24, sketch=1024),
}
_COSTLY = ('patch_space', 'curvature_filter', 'shadow_matched_filter', 'residual_filter')
_SLOW = {'reconstruction': 'a hundred optimiser steps for each candidate'}


class Choice(NamedTuple):
  """Attacks to play.

  Attributes:
    attacks: by name, cheap ones first.
    costly: names of those to play only where the others find too little.
    skipped: of each other attack the reason why it is not played.
  """

  attacks: dict[str, Attack]
  costly: tuple[str, ...]
  skipped: dict[str, str]


def choose(attacks: Attacks, setup: Setup) -> Choice:
  """The attacks to play, and the reasons why others are skipped.

  Args:
    attacks: 'auto' for all that apply but the slow ones, 'all' for these, too, with the sizes
      of the library's defaults; or names and attacks of one's own, mixed.
    setup: the setting.

  Raises:
    InputError: if a name is unknown, or no attack applies.
  """
  asked = _named(attacks)
  reasons = {name: reason_against(attack, setup) for name, attack in asked.items()}
  skipped = {name: reason for name, reason in reasons.items() if reason}
  is_auto = isinstance(attacks, str) and attacks == 'auto'
  if is_auto:
    slow = [name for name in asked if name in _SLOW and name not in skipped]
    skipped |= {name: _left_out(name) for name in slow}
  chosen = {name: attack for name, attack in asked.items() if name not in skipped}
  if not chosen:
    reasons = '; '.join(skipped.values())
    raise InputError(f'no attack applies to the {setup.knowledge.target} set: {reasons}')
  # Without noise it asks what the matched filter asks, at ten times the cost.
  named = _COSTLY if any(setup.defence) else (_COSTLY[0], 'noise_filter', *_COSTLY[1:])
  costly = tuple(name for name in named if name in chosen) if is_auto else ()
  return Choice(chosen, costly, skipped)


def _left_out(name: str) -> str:
  return f"left out of 'auto' for its cost, {_SLOW[name]}: ask for it by attacks='all'"


def _named(attacks: Attacks) -> dict[str, Attack]:
  """The attacks that are asked for, each by a name of its own."""
  if isinstance(attacks, str) and attacks in ('auto', 'all'):
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
  known, name = setup.knowledge, name_of(attack)
  defended = any(setup.defence)
  reason = setup.adversary.refusal(attack, known.target, defended=defended)
  if reason:
    return reason
  needs = needs_of(attack, known.target, withheld=known.withheld)
  if 'separate_images' in needs and not setup.is_separate:
    return (
      f'attack {name!r} needs a loss that is a mean over images that do not see each other: '
      f'the loss of several images is not the mean of theirs (batch normalisation?)'
    )
  try:
    check_learner(attack, setup.inner, target=known.target)
    told = tell(attack, known)
    return inapplicable(attack, abstract(told), setup.shape) or _unscorable(attack, told, setup)
  except InputError as error:
    return str(error)
  except TypeError as error:
    if type(attack) not in ATTACKS.values() or not any(setup.defence):
      raise  # not about a defence whose strength is not published
    return str(error)


def _unscorable(attack: Attack, told: Knowledge, setup: Setup) -> str | None:
  """The reason why the score of an attack cannot be computed; None if it can."""
  try:
    score, arguments = scoring(attack, told, setup)
    jax.eval_shape(score, *arguments)
  except ValueError as error:
    return str(error)
  return None


def notes(attacks: Mapping[str, Attack], setup: Setup, *, plain: bool) -> dict[str, list[str]]:
  """Blind spots of each attack, of `DEFENCE` and `LEARNER`.

  Args:
    attacks: the attacks by name.
    setup: the setting.
    plain: whether learners run gradient descent and send what it gives, as every attack assumes
      at the least.
  """
  found: dict[str, list[str]] = {}
  for name, attack in attacks.items():
    needs, lacking = attack.requires[setup.knowledge.target], []
    if not _models(attack, setup.defence) or not setup.adversary.defence:
      lacking += [DEFENCE] * any(setup.defence)
    if not plain and not ('inner_loop' in needs and setup.adversary.learner):
      lacking.append(LEARNER)
    found[name] = lacking
  return found


def _models(attack: Attack, defence: Defence) -> bool:
  """Tests whether an attack allows for all that a defence does."""
  if not any('defence' in needs for needs in attack.requires.values()):
    return False
  return type(attack) is not NoiseFilter or not (defence.support or defence.inner)
