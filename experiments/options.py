"""Which fields of a cell an attack reads, and the options that it is run with."""

import dataclasses
from types import ModuleType
from typing import Any

from mamljax.attacks import ATTACKS
from mamljax.audit import likelihood_ratio
from mamljax.errors import InputError

# What no attack can pass: played in the place of one, and told the truth.
BOUNDS: dict[str, ModuleType] = {'likelihood_ratio': likelihood_ratio}
PLAYED = ATTACKS | BOUNDS

# What an option is called in a cell, where it is called otherwise.
_FIELDS = {'learning_rate': 'attack_learning_rate', 'decay': 'attack_decay'}
# Fields of what an attack may know, by the requirement that makes them matter.
_KNOWLEDGE = {'assumed_order': 'inner_loop', 'references': 'references'}
# Every attack has these; a cell has them whatever its attack.
_COMMON = frozenset({'target', 'ways'})


def make_options(cell: Any) -> Any:
  """The options of a cell's attack: each from the field of its name."""
  fields = _option_fields(cell.attack)
  return PLAYED[cell.attack].Options(**{o: getattr(cell, f) for o, f in fields.items()})


def required(attack: str, options: Any) -> frozenset[str]:
  """What an attack must be told, as `REQUIRES` declares for its target.

  Where the options say that the classes are unknown, they are not told.
  """
  needs = PLAYED[attack].REQUIRES[options.target]
  return needs - {'classes'} if getattr(options, 'classes', '') == 'unknown' else needs


def idle_fields(attack: str, target: str) -> frozenset[str]:
  """The fields of a cell that an attack does not read; none if it cannot be.

  >>> sorted(idle_fields('reconstruction', 'query'))[0]
  'assumed_order'
  """
  module = PLAYED.get(attack)
  if module is None or target not in module.REQUIRES:
    return frozenset()
  read = {*_option_fields(attack).values(), *_COMMON}
  unread = {field for name in ATTACKS for field in _option_fields(name).values()} - read
  needs = module.REQUIRES[target]
  return frozenset(unread | {f for f, need in _KNOWLEDGE.items() if need not in needs})


def passes(cell: Any) -> int:
  """How often a trial of a cell goes through a set: its iterations or shadows, or once."""
  takes = {'iterations': cell.iterations, 'shadows': cell.shadows + cell.swaps}
  read = _option_fields(cell.attack).values()
  return max((count for field, count in takes.items() if field in read), default=1)


def fixed_threshold(attack: str, defence: str) -> float | None:
  """The threshold that is known beforehand; None if trials must choose it.

  A defence moves the scores: the known thresholds of attacks are for none. A bound knows it.
  """
  known = PLAYED if defence == 'none' else BOUNDS
  return known[attack].THRESHOLD if attack in known else None


def check_game(cell: Any) -> None:
  """Refuses a game that a bound does not hold for.

  Raises:
    InputError: if there are several learners, or non-members that their class gives away.
  """
  if cell.attack not in BOUNDS:
    return
  for field, value in (('learners', 1), ('non_members', 'same_class')):
    if getattr(cell, field) != value:
      raise InputError(
        f'attack {cell.attack!r} is a bound of the game with {field}={value!r}, '
        f'not {getattr(cell, field)!r}'
      )


def _option_fields(attack: str) -> dict[str, str]:
  """Option -> the field of a cell that it is taken from."""
  names = [field.name for field in dataclasses.fields(PLAYED[attack].Options)]
  return {name: _FIELDS.get(name, name) for name in names}
