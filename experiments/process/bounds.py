"""Bounds of the numbers that can be asked for: declared where a number has its default.

A field of a configuration is declared by `fields.number`, a flag by `integer` or `real`. What
is beyond its bounds is refused when it is read, before anything is built from it: far beyond
them a number overflows, fills the memory or keeps a command busy for ever.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

from absl import flags

from mamljax.errors import InputError

LARGEST = 1e30  # of real numbers: its product with what a network has stays within float32
LONGEST = 30 * 86_400  # seconds
flags.disclaim_key_flags()  # a flag belongs to the module that asks for it


class Bounds(NamedTuple):
  """The least and the greatest value of a number, and the unit that it counts."""

  least: float
  most: float
  unit: str = ''

  def check(self, name: str, value: float | None) -> None:
    """Refuses what is outside, and what is not a number at all; None is none to refuse.

    >>> Bounds(0, 4096, 'pixels').check('image_size', 5000)
    Traceback (most recent call last):
    mamljax.errors.InputError: image_size must be a number of at most 4,096 pixels, not 5000
    """
    if value is None or self.least <= value <= self.most:  # which NaN is not
      return
    most = f'at most {_plain(self.most)} {self.unit}'.strip()
    said = most if value > self.most else f'at least {_plain(self.least)}'
    raise InputError(f'{name} must be a number of {said}, not {value}')


POSITIVE, REAL = Bounds(0, LARGEST), Bounds(-LARGEST, LARGEST)
SEED = Bounds(0, 2**32 - 1)  # JAX keeps no more bits of it
LEASE = Bounds(1, LONGEST, 'seconds')


@functools.cache
def of(configuration: type) -> dict[str, Bounds]:
  """The bounds of the numbers in a dataclass, by field."""
  fields = dataclasses.fields(configuration)
  return {f.name: f.metadata['bounds'] for f in fields if 'bounds' in f.metadata}


def integer(
  name: str, default: int | None, bounds: Bounds, told: str, *, group: str = ''
) -> flags.FlagHolder:
  """A flag that is a whole number between bounds; `told` is its help."""
  return _define(name, default, flags.IntegerParser(), bounds, told, group)


def real(
  name: str, default: float | None, bounds: Bounds, told: str, *, group: str = ''
) -> flags.FlagHolder:
  """A flag that is a number between bounds; `told` is its help."""
  return _define(name, default, flags.FloatParser(), bounds, told, group)


def whole_numbers(flag: flags.FlagHolder, bounds: Bounds) -> list[int]:
  """The numbers that a list flag holds; none of an empty list.

  Raises:
    InputError: if an item is not a whole number, or outside the bounds.
  """
  typed = f'--{flag.name}={",".join(flag.value)}'
  for item in flag.value:
    text = item.strip()
    if not (text.isascii() and text.isdigit() and int(text[:20]) >= bounds.least):
      known = f'a whole number of at least {bounds.least}, such as {flag.default[0]}'
      raise InputError(f'{typed}: {text!r} is not {known}')
    bounds.check(typed, int(text[:20]))  # which is too great already
  return [int(item) for item in flag.value]


def _define(
  name: str, default: Any, parser: Any, bounds: Bounds, told: str, group: str
) -> flags.FlagHolder:
  within = _Within(name, parser, bounds)
  place: dict[str, Any] = {'module_name': group} if group else {}
  return flags.DEFINE(
    within, name, default, told, serializer=flags.ArgumentSerializer(), **place
  )


class _Within(flags.ArgumentParser):
  """Reads a number, and refuses it outside its bounds (absl's own bounds let NaN through)."""

  def __init__(self, name: str, parser: Any, bounds: Bounds):
    self._name, self._parser, self._bounds = name, parser, bounds
    self.syntactic_help = parser.syntactic_help

  def parse(self, argument: Any) -> Any:
    value = self._parser.parse(argument)
    self._bounds.check(self._name, value)
    return value

  def flag_type(self) -> str:
    return self._parser.flag_type()


def _plain(bound: float) -> str:
  """A bound as a person writes it."""
  return f'{bound:,}' if isinstance(bound, int) else f'{bound:g}'
