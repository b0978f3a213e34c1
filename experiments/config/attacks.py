"""The attack of a cell, made from the fields of its options; and which fields it reads."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mamljax.attacks import ATTACKS, Attack
from mamljax.attacks.base import WITHHOLDABLE, needs_of
from mamljax.audit.likelihood_ratio import BOUNDS, Bound
from mamljax.errors import InputError, unknown

PLAYED: dict[str, type[Attack] | type[Bound]] = ATTACKS | BOUNDS
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


def make_attack(cell: Any) -> Attack:
  """The attack of a cell, each option from the field of its name, or as by default."""
  return _make_attack(cell.attack, cell)


def _make_attack(name: str, cell: Any) -> Any:
  """An attack or a bound, which may be a part of a combination."""
  fields = {o: getattr(cell, f) for o, f in _option_fields(name).items()}
  given = {option: value for option, value in fields.items() if value is not None}
  return PLAYED[name](**given)


def targets_of(name: str) -> tuple[str, ...]:
  """The sets that an attack or a bound can seek."""
  return tuple(ATTACKS[name].requires if name in ATTACKS else sorted(BOUNDS[name].targets))


def withheld(name: str, cell: Any) -> frozenset[str]:
  """The names of what a cell says is unknown, of what an attack has an opinion about."""
  optional = _optional(name)
  return frozenset(x for x in WITHHOLDABLE if x in optional and getattr(cell, x) == 'unknown')


def _optional(name: str) -> frozenset[str]:
  """What an attack can do without, for some target at least."""
  kinds = ATTACKS[name].optional.values() if name in ATTACKS else ()
  return frozenset[str]().union(*kinds)


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
  if not all(name in PLAYED and target in targets_of(name) for name in names):
    return frozenset()
  read = frozenset[str]().union(*map(_fields_read, names))
  attacks = [ATTACKS[name] for name in names if name in ATTACKS]
  needs = frozenset[str]().union(*(attack.requires[target] for attack in attacks))
  unread = frozenset[str]().union(*map(_fields_read, ATTACKS)) - read
  unread |= {f for f, need in _KNOWLEDGE.items() if need not in needs}
  return frozenset(unread if attack == COMBINED else unread | {'parts'})


def idle_in(configuration: Mapping[str, Any]) -> frozenset[str]:
  """The fields of a cell, as its file has them, that its attack does not read."""
  attack, target = configuration['attack'], configuration['target']
  return idle_fields(attack, target, parts=configuration.get('parts', ''))


def attacks_of(cell: Any) -> list[Attack]:
  """The attacks that a cell's score is made of; none of a bound."""
  return [_make_attack(part, cell) for part in parts_of(cell) if part in ATTACKS]


def fixed_threshold(attack: str, defence: str, *, participations: int = 1) -> float | None:
  """The threshold that is known beforehand; None if trials must choose it.

  A defence moves the scores, and so does weighing several: the known thresholds of attacks are
  for none and for one gradient. A bound knows it.
  """
  known = PLAYED if defence == 'none' and participations == 1 else BOUNDS
  return known[attack].threshold if attack in known else None


def check_game(cell: Any) -> None:
  """Refuses a game that a cell's attack cannot be played in.

  Raises:
    InputError: if it, or a part of it, does not look for the target, cannot have its options,
      or takes for granted that images do not see each other where batch normalisation lets
      them; if there are several learners for a bound or a score made of several, or, for a
      bound, non-members that their class gives away.
  """
  for attack in parts_of(cell):
    made = _make_attack(attack, cell)  # options check themselves
    if attack in BOUNDS:
      continue
    needs = needs_of(made, cell.target, withheld=withheld(attack, cell))
    if 'separate_images' in needs and cell.normalization == 'batch':
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


def _fields_read(attack: str) -> frozenset[str]:
  """The fields of a cell that say what an attack does, or what it is not told."""
  return frozenset(_option_fields(attack).values()) | _optional(attack)


def _options(attack: str) -> tuple[dataclasses.Field, ...]:
  kind: Any = PLAYED[attack]
  return dataclasses.fields(kind)
