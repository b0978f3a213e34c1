"""Which fields of a cell an attack reads, and the options that it is run with."""

import dataclasses
from typing import Any

from mamljax.attacks import ATTACKS

# What an option is called in a cell, where it is called otherwise.
_FIELDS = {'learning_rate': 'attack_learning_rate', 'decay': 'attack_decay'}
# Fields of what an attack may know, by the requirement that makes them matter.
_KNOWLEDGE = {'assumed_order': 'inner_loop', 'references': 'references'}
# Every attack has these; a cell has them whatever its attack.
_COMMON = frozenset({'target', 'ways'})


def make_options(cell: Any) -> Any:
  """The options of a cell's attack: each from the field of its name."""
  fields = _option_fields(cell.attack)
  return ATTACKS[cell.attack].Options(**{o: getattr(cell, f) for o, f in fields.items()})


def required(attack: str, options: Any) -> frozenset[str]:
  """What an attack must be told, as `REQUIRES` declares for its target.

  Where the options say that the classes are unknown, they are not told.
  """
  needs = ATTACKS[attack].REQUIRES[options.target]
  return needs - {'classes'} if getattr(options, 'classes', '') == 'unknown' else needs


def idle_fields(attack: str, target: str) -> frozenset[str]:
  """The fields of a cell that an attack does not read; none if it cannot be.

  >>> sorted(idle_fields('reconstruction', 'query'))[0]
  'assumed_order'
  """
  module = ATTACKS.get(attack)
  if module is None or target not in module.REQUIRES:
    return frozenset()
  read = {*_option_fields(attack).values(), *_COMMON}
  unread = {field for name in ATTACKS for field in _option_fields(name).values()} - read
  needs = module.REQUIRES[target]
  return frozenset(unread | {f for f, need in _KNOWLEDGE.items() if need not in needs})


def passes(cell: Any) -> int:
  """How often a trial of a cell goes through a set: its iterations or shadows, or once."""
  read = _option_fields(cell.attack).values()
  return sum(getattr(cell, f) for f in ('iterations', 'shadows', 'swaps') if f in read) or 1


def fixed_threshold(attack: str, defence: str) -> float | None:
  """The threshold that is known beforehand; None if trials must choose it.

  A defence moves the scores: the known thresholds are for none.
  """
  return ATTACKS[attack].THRESHOLD if attack in ATTACKS and defence == 'none' else None


def _option_fields(attack: str) -> dict[str, str]:
  """Option -> the field of a cell that it is taken from."""
  names = [field.name for field in dataclasses.fields(ATTACKS[attack].Options)]
  return {name: _FIELDS.get(name, name) for name in names}
