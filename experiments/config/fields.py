"""Fields of a configuration, as flags, tables and checks see them: declared once, with docs.

A dataclass declares its fields by `number`, `choice` and `text`; an attack and a network of the
library by metadata of `mamljax.checks`. The help of a flag is the field's entry in the
docstring's 'Attributes'.
"""

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from experiments.process.bounds import LARGEST, Bounds
from mamljax.errors import InputError, unknown

Default = TypeVar('Default', int, float, str, bool, None)

_MOST = 10_000_000  # of an option that is a whole number
_KINDS = {
  bool: 'true or false',
  int: 'a number without a fraction',
  float: 'a number',
  str: 'a word',
}


class Field(NamedTuple):
  """A field of a configuration.

  Attributes:
    column: its name in tables and in descriptions, unique among all fields.
    flag: the flag that sets it; '' if it is not the user's to set.
    attribute: its name in the dataclass.
    kind: the type of its values.
    default: the value where none is given.
    help: one readable phrase.
    bounds: of a number, or None.
    known: its only values, or ().
    optional: whether it may be None.
  """

  column: str
  flag: str
  attribute: str
  kind: type
  default: Any
  help: str
  bounds: Bounds | None
  known: tuple[Any, ...]
  optional: bool

  def check(self, value: Any) -> None:
    """Refuses a value of another type, out of bounds, or that is not known.

    Raises:
      InputError: naming the field and the value.
    """
    if value is None and self.optional:
      return
    kinds = (int, float) if self.kind is float else (self.kind,)
    if type(value) not in kinds:
      raise InputError(f'{self.column} must be {self.wanted}, not {value!r}')
    if self.bounds:
      self.bounds.check(self.column, value)
    if self.known and value not in self.known:
      raise unknown(self.column, str(value), list(map(str, self.known)))

  def parse(self, text: str) -> Any:
    """The value written in a text.

    Raises:
      ValueError: if it says none of this type.
    """
    if self.kind is bool:
      if text.lower() not in ('true', 'false'):
        raise ValueError(f'{text!r} is neither true nor false')
      return text.lower() == 'true'
    return self.kind(text)

  @property
  def wanted(self) -> str:
    """The kind of its values, in words."""
    return _KINDS[self.kind]


def number(
  default: Default, bounds: Bounds, *, flag: str | None = None, column: str = ''
) -> Default:
  """A field that holds a number between bounds."""
  return _declare(default, bounds=bounds, flag=flag, column=column)


def choice(
  default: Default, known: Sequence[Any], *, flag: str | None = None, column: str = ''
) -> Default:
  """A field that holds one of a few values."""
  return _declare(default, known=tuple(known), flag=flag, column=column)


def plain(default: Default, *, flag: str | None = None, column: str = '') -> Default:
  """A field that holds a text, or true or false; a flag of '' is none."""
  return _declare(default, flag=flag, column=column)


def _declare(default: Any, **told: Any) -> Any:
  return dataclasses.field(default=default, metadata=told)


@functools.cache
def fields_of(kind: type) -> tuple[Field, ...]:
  """The fields of a section of a configuration that are declared here."""
  helps, hints = helps_of(kind), typing.get_type_hints(kind)
  return tuple(
    _field(field, hints[field.name], helps.get(field.name, ''))
    for field in dataclasses.fields(kind)
    if {'bounds', 'known', 'flag'} & {*field.metadata}
  )


@functools.cache
def options_of(owner: str, kind: type, *, documented: type | None = None) -> tuple[Field, ...]:
  """The fields of an attack or a network that are its options, each named OWNER.OPTION.

  Args:
    owner: the name of the attack or the network.
    kind: a dataclass whose fields are options.
    documented: the class whose docstring explains them; `kind` if None.
  """
  helps, hints = helps_of(documented or kind), typing.get_type_hints(kind)
  found = (
    _field(field, hints[field.name], helps.get(field.name, ''))
    for field in dataclasses.fields(kind)
  )
  return tuple(
    field._replace(column=f'{owner}.{field.attribute}', flag=f'{owner}.{field.attribute}')
    for field in found
  )


def _field(field: dataclasses.Field, hint: Any, told: str) -> Field:
  """A field from its declaration."""
  kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
  kind = next(one for one in (bool, int, float, str) if one in kinds)
  known, bounds = field.metadata.get('known', ()), field.metadata.get('bounds')
  if bounds is None and not known and kind in (int, float):
    bounds = _bounds_of(field.metadata, kind)
  flag = field.metadata.get('flag')
  column = field.metadata.get('column') or field.name
  return Field(
    column=column,
    flag=column if flag is None else flag,
    attribute=field.name,
    kind=kind,
    default=field.default,
    help=_with_values(told, known),
    bounds=bounds,
    known=known,
    optional=types.NoneType in kinds,
  )


def _bounds_of(metadata: Mapping[str, Any], kind: type) -> Bounds:
  """The bounds of a numeric option, from the metadata that the library checks."""
  if kind is int:
    return Bounds(metadata.get('least', 0), _MOST)
  positive = {'positive', 'nonnegative'} & {*metadata}
  return Bounds(0 if positive else -LARGEST, LARGEST)


def _with_values(told: str, known: Sequence[Any]) -> str:
  """A help text completed by the allowed values, unless it names them itself."""
  if not known or all(str(value) in told for value in known):
    return told
  return f'{told.rstrip(".")}: {", ".join(map(str, known))}'


@functools.cache
def helps_of(kind: type) -> dict[str, str]:
  """The entries of the 'Attributes' of a class, and of the classes that it is derived from.

  >>> class Sizes:
  ...   '''Sizes of a task.
  ...
  ...   Attributes:
  ...     ways: classes
  ...       of a task.
  ...   '''
  >>> helps_of(Sizes)
  {'ways': 'classes of a task.'}
  """
  found: dict[str, str] = {}
  for each in reversed(kind.__mro__):
    _, _, listed = inspect.cleandoc(each.__doc__ or '').partition('Attributes:\n')
    entries = re.findall(r'^  (\w+): ((?:.|\n(?!  \w+: |\S))*)', listed, re.MULTILINE)
    found |= {name: ' '.join(text.split()) for name, text in entries}
  return found


def _is_union(hint: Any) -> bool:
  return typing.get_origin(hint) in (types.UnionType, typing.Union)
