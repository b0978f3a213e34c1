"""The attack of a cell: one of the library, a bound that none can pass, or a combination."""

import dataclasses
from typing import Any

from experiments.config.fields import Field, options_of
from mamljax.attacks import ATTACKS, Attack
from mamljax.attacks.base import name_of, needs_of, threshold_of
from mamljax.audit.likelihood_ratio import BOUNDS, Bound
from mamljax.errors import InputError, unknown

PLAYED: dict[str, type[Attack] | type[Bound]] = ATTACKS | BOUNDS
_INEXACT = ('imaml', 'reptile', 'delta')  # protocols of which support images miss entries
JOINT = '+'  # of the parts of a combination, and of what is withheld


class Unplayable(InputError):
  """Values that are each valid, but that no trial can combine."""


@dataclasses.dataclass(frozen=True)
class Combination:
  """Several attacks on the same trials, whose scores calibration trials weigh.

  Attributes:
    parts: two or more different attacks.
  """

  parts: tuple[Attack, ...]

  def __post_init__(self):
    names = [*map(name_of, self.parts)]
    if len(set(names)) < max(2, len(names)):
      raise InputError(f'a combination is of two or more different attacks, not {names}')


def parts_of(attack: Any) -> tuple[Any, ...]:
  """The attacks behind a score: one, or the parts of a combination."""
  return attack.parts if isinstance(attack, Combination) else (attack,)


def attacks_of(attack: Any) -> tuple[Attack, ...]:
  """The attacks behind a score; none for a bound."""
  return tuple(part for part in parts_of(attack) if not is_bound(part))


def is_bound(attack: Any) -> bool:
  """Tests for a bound, which is played in the place of an attack and is told the truth."""
  return isinstance(attack, tuple(BOUNDS.values()))


def attack_name(attack: Any) -> str:
  """The name of an attack as it is typed: of a combination, its parts joined by '+'."""
  return JOINT.join(map(name_of, parts_of(attack)))


def targets_of(name: str) -> tuple[str, ...]:
  """The sets that an attack or a bound can seek."""
  return tuple(ATTACKS[name].requires if name in ATTACKS else sorted(BOUNDS[name].targets))


def options_of_attack(name: str) -> tuple[Field, ...]:
  """The options of an attack, each named ATTACK.OPTION."""
  return options_of(name, PLAYED[name])


def check_name(name: str) -> None:
  """Refuses a name that is neither an attack nor a combination of attacks.

  Raises:
    InputError: with the nearest name that is known.
  """
  parts = name.split(JOINT)
  known = PLAYED if len(parts) == 1 else ATTACKS
  for part in parts:
    if part not in known:
      raise unknown('attack' if len(parts) == 1 else 'part of a combination', part, known)
  if len(set(parts)) < len(parts):
    raise InputError(f'a combination is of two or more different attacks, not {name!r}')


def make_attack(name: str, options: dict[str, dict[str, Any]]) -> Any:
  """The attack of that name.

  Args:
    name: of an attack or a bound, or of several attacks joined by '+'.
    options: for each of them, the options that are not as by default.

  Raises:
    InputError: if one is unknown, or an option cannot be.
  """
  check_name(name)
  parts: list[Any] = [PLAYED[part](**options.get(part, {})) for part in name.split(JOINT)]
  return parts[0] if len(parts) == 1 else Combination(tuple(parts))


def needs(attack: Any, target: str) -> frozenset[str]:
  """The requirements of an attack on a target set; none for a bound.

  Raises:
    Unplayable: if it, or a part of it, does not seek that set.
  """
  return frozenset[str]().union(*(_needs(part, target) for part in parts_of(attack)))


def _needs(part: Any, target: str) -> frozenset[str]:
  if is_bound(part):
    return frozenset()
  try:
    return frozenset(needs_of(part, target))
  except InputError as error:
    raise Unplayable(str(error)) from None


def check_withheld(attack: Any, target: str, withheld: frozenset[str]) -> None:
  """Refuses to withhold knowledge that the attack requires.

  Raises:
    Unplayable: if it, or a part of it, cannot.
  """
  try:
    for part in attacks_of(attack):
      needs_of(part, target, withheld=withheld)
  except InputError as error:
    raise Unplayable(str(error)) from None


def fixed_threshold(
  attack: Any, target: str, *, defended: bool, protocol: str, participations: int
) -> float | None:
  """The threshold known beforehand; None if calibration trials must choose it.

  A defence moves the scores, and so does weighing several: the known thresholds of attacks are
  for none and for one gradient. So do Hessians at theta, those of implicit MAML, and steps, of
  which w - theta rounds the smallest to 0: a support image misses entries of both. A bound
  knows it.
  """
  if isinstance(attack, Combination):
    return None
  known = is_bound(attack) or not (defended or protocol in _INEXACT or participations > 1)
  return threshold_of(attack, target) if known else None
