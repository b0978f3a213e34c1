"""Which fields of a cell an attack reads, and the options that it is run with."""

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mamljax.attacks import ATTACKS
from mamljax.audit import likelihood_ratio
from mamljax.errors import InputError, unknown

# What no attack can pass: played in the place of one, and told the truth.
BOUNDS: dict[str, ModuleType] = {'likelihood_ratio': likelihood_ratio}
PLAYED = ATTACKS | BOUNDS
COMBINED = 'combined'  # of other attacks, which are its parts
NAMES = (*PLAYED, COMBINED)

# What an option is called in a cell, where it is called otherwise.
_FIELDS = {'learning_rate': 'attack_learning_rate', 'decay': 'attack_decay'}
# Fields of what an attack may know, by the requirement that makes them matter.
_KNOWLEDGE = {
  'assumed_order': 'inner_loop',
  'references': 'references',
  'query_set': 'query_set',
}
# What options of the same name may say is unknown.
_HIDDEN = ('classes', 'query_set')
# Every attack has these; a cell has them whatever its attack.
_COMMON = frozenset({'target', 'ways', 'shots'})


def make_options(cell: Any) -> Any:
  """The options of a cell's attack: each from the field of its name, or the attack's own."""
  return _make_options(cell.attack, cell)


def _make_options(attack: str, cell: Any) -> Any:
  """The options of an attack, which may be a part of a combination."""
  fields = {o: getattr(cell, f) for o, f in _option_fields(attack).items()}
  said = {option: value for option, value in fields.items() if value is not None}
  return PLAYED[attack].Options(**said)


def own_options(cell: Any) -> dict[str, Any]:
  """The fields that a cell leaves to its attack, with what the attack has by default.

  None where the parts of a combination have defaults that differ.
  """
  found: dict[str, Any] = {}
  for part in parts_of(cell):
    defaults = {_FIELDS.get(f.name, f.name): f.default for f in _options(part)}
    left = {field: own for field, own in defaults.items() if getattr(cell, field) is None}
    found |= {
      field: own if found.get(field, own) == own else None for field, own in left.items()
    }
  return found


def parts_of(cell: Any) -> tuple[str, ...]:
  """The attacks that a cell's score is made of: one, but for a combination."""
  return split_parts(cell.parts) if cell.attack == COMBINED else (cell.attack,)


def split_parts(text: str) -> tuple[str, ...]:
  """The attacks of a combination, as they are typed.

  Raises:
    InputError: if one of them is none or there twice, or there are fewer than two.
  """
  parts = tuple(text.split('+'))
  for part in parts:
    if part not in ATTACKS:
      raise unknown('part of a combined attack', part, ATTACKS)
  if len(set(parts)) < max(2, len(parts)):
    raise InputError(f'parts must be two or more different attacks, not {text!r}')
  return parts


def required(attack: str, options: Any) -> frozenset[str]:
  """What an attack must be told, as `REQUIRES` declares for its target.

  What the options say is unknown, the classes or the query set, is not told.
  """
  hidden = {name for name in _HIDDEN if getattr(options, name, '') == 'unknown'}
  return PLAYED[attack].REQUIRES[options.target] - hidden


def idle_fields(attack: str, target: str, *, parts: str = '') -> frozenset[str]:
  """The fields of a cell that an attack does not read; none if it cannot be.

  Args:
    attack: its name.
    target: the set that it looks for.
    parts: of a combination, which reads what they read.

  >>> sorted(idle_fields('reconstruction', 'query'))[0]
  'assumed_order'
  """
  names = parts.split('+') if attack == COMBINED else [attack]
  if not all(name in PLAYED and target in PLAYED[name].REQUIRES for name in names):
    return frozenset()
  read = _COMMON.union(*(_option_fields(name).values() for name in names))
  needs = frozenset[str]().union(*(PLAYED[name].REQUIRES[target] for name in names))
  unread = {field for name in ATTACKS for field in _option_fields(name).values()} - read
  unread |= {f for f, need in _KNOWLEDGE.items() if need not in needs}
  return frozenset(unread if attack == COMBINED else unread | {'parts'})


def idle_in(configuration: Mapping[str, Any]) -> frozenset[str]:
  """The fields of a cell, as its file has them, that its attack does not read."""
  attack, target = configuration['attack'], configuration['target']
  return idle_fields(attack, target, parts=configuration.get('parts', ''))


def fixed_threshold(attack: str, defence: str, *, participations: int = 1) -> float | None:
  """The threshold that is known beforehand; None if trials must choose it.

  A defence moves the scores, and so does weighing several: the known thresholds of attacks are
  for none and for one gradient. A bound knows it.
  """
  known = PLAYED if defence == 'none' and participations == 1 else BOUNDS
  return known[attack].THRESHOLD if attack in known else None


def check_game(cell: Any) -> None:
  """Refuses a game that a cell's attack cannot be played in.

  Raises:
    InputError: if it, or a part of it, does not look for the target, cannot have its options,
      or takes for granted that images do not see each other where batch normalisation lets
      them; if there are several learners for a bound or a score made of several, or, for a
      bound, non-members that their class gives away.
  """
  for attack in parts_of(cell):
    known = PLAYED[attack].REQUIRES
    if cell.target not in known:
      raise InputError(
        f'attack {attack!r} has no target {cell.target!r}, only: {", ".join(known)}'
      )
    _make_options(attack, cell)  # options check themselves
    if 'separate_images' in known[cell.target] and cell.normalization == 'batch':
      raise InputError(
        f'attack {attack!r} needs images that do not see each other: '
        f"normalization 'none' or 'group', not 'batch'"
      )
  alone = cell.attack in (COMBINED, *BOUNDS) or cell.participations > 1
  asked = {'learners': 1} if alone else {}
  asked |= {'non_members': 'same_class'} if cell.attack in BOUNDS else {}
  for field, value in asked.items():
    if getattr(cell, field) != value:
      several = ' on several participations' if cell.participations > 1 else ''
      raise InputError(
        f'attack {cell.attack!r}{several} is for the game with {field}={value!r} only, '
        f'not {getattr(cell, field)!r}'
      )


def _option_fields(attack: str) -> dict[str, str]:
  """Option -> the field of a cell that it is taken from."""
  return {field.name: _FIELDS.get(field.name, field.name) for field in _options(attack)}


def _options(attack: str) -> tuple[dataclasses.Field, ...]:
  return dataclasses.fields(PLAYED[attack].Options)
