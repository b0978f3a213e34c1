"""Small files, read into the types that they were written from.

A file may be cut off, edited, of another version, or written by another program. Whatever its
bytes are, a reader gets a value of the requested type, or `Unfit` with the reason in one line.
"""

import dataclasses
import functools
import io
import json
import math
import re
import types
import typing
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mamljax import atomic

T = TypeVar('T')

NAME = re.compile(r'[0-9a-f]{16}')  # of a cell's files
PATH = re.compile(r'[^\0]+')

_MAX_INTEGER = 2**63  # beyond, arithmetic with floats overflows
_MAX_CHARACTERS = 40  # of a value in a message


class Unfit(ValueError):
  """Raised for content of another form than expected; the message says why, in one line."""


class Array(NamedTuple):
  """The expected form of an array.

  Attributes:
    kinds: the permitted kinds of its dtype, as in NumPy's `dtype.kind`.
    dimensions: number of its dimensions.
    optional: true if the array may be missing.
  """

  kinds: str
  dimensions: int
  optional: bool = False


def read_json(path: Path, kind: type[T]) -> T:
  """The value in a JSON file, as `parse_json` reads it.

  Raises:
    Unfit: if the content does not fit the type.
    InputError: if the path is not that of a regular file, but of a pipe, say.
    OSError: if the file cannot be read.
  """
  return parse_json(atomic.regular(path).read_bytes(), kind)


def parse_json(data: bytes, kind: type[T]) -> T:
  """The value of this type that JSON text describes.

  Args:
    data: the text.
    kind: a dataclass or NamedTuple, a list, a dict, an optional type or a scalar, of such in
      turn. `Annotated[str, pattern]` is a string that matches the pattern, and
      `Annotated[float, least]` a number not less than `least`. Numbers are finite. A field
      with a default may be missing; further fields are not permitted.

  Raises:
    Unfit: if the text does not fit the type.
  """
  return fit(load_json(data), kind)


def load_json(data: bytes) -> Any:
  """The value that JSON text describes, with finite numbers only.

  Raises:
    Unfit: if the text is not JSON, has a number that is not finite, or is nested too deep.
  """
  try:
    return json.loads(data, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
  except RecursionError:
    raise Unfit('it is nested too deep') from None
  except ValueError as error:
    raise error if isinstance(error, Unfit) else Unfit(f'it is no JSON: {error}') from None


def fit(value: Any, kind: Any) -> Any:
  """A JSON value as a value of one of the types of `parse_json`.

  Raises:
    Unfit: if the value does not fit the type.
  """
  return _fit(value, kind, 'it')


def _fit(value: Any, kind: Any, where: str) -> Any:
  origin, inner = typing.get_origin(kind), typing.get_args(kind)
  if kind is Any:
    return value
  if kind in _SCALARS:
    return _check(_SCALARS[kind](value), value, f'{kind.__name__} expected', where)
  if origin is typing.Annotated:
    return _bounded(_fit(value, inner[0], where), inner[1], where)
  if origin in (types.UnionType, typing.Union):
    return None if value is None else _fit(value, _without_none(inner), where)
  if origin is list:
    return _list(value, inner[0], where)
  if origin is dict:
    return _dict(value, inner[0], inner[1], where)
  return _record(value, kind, where)


def load_arrays(data: bytes, expected: Mapping[str, Array]) -> dict[str, np.ndarray | None]:
  """The arrays of an .npz file; None for an optional array that is missing.

  Nothing is ever unpickled.

  Raises:
    Unfit: if the file is damaged, or an array is not of its expected form.
  """
  try:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
      members = set(file.namelist())
      arrays = {n: _member(file, n) if f'{n}.npy' in members else None for n in expected}
  # A damaged file makes zipfile, zlib and NumPy raise a dozen kinds of error.
  except Exception as error:
    raise Unfit((str(error) or type(error).__name__).splitlines()[0]) from None
  for name, array in arrays.items():
    _check_array(name, array, expected[name])
  return arrays


def _member(file: zipfile.ZipFile, name: str) -> np.ndarray:
  """An array of an .npz file, read to its last byte so that its checksum is verified."""
  content = io.BytesIO(file.read(f'{name}.npy'))
  array = np.lib.format.read_array(content, allow_pickle=False)
  if content.read(1):
    raise Unfit(f'{name} is followed by something')
  return array


def _check_array(name: str, array: np.ndarray | None, expected: Array) -> None:
  if array is None:
    _check(expected.optional, name, 'missing', name)
    return
  fits = array.dtype.kind in expected.kinds and array.ndim == expected.dimensions
  _check(fits, f'{array.dtype}{list(array.shape)}', f'{expected[:2]} expected', name)


def _finite(text: str) -> float:
  _check(math.isfinite(number := float(text)), text, 'not finite', 'a number')
  return number


def _whole(text: str) -> int:
  _check(_is_whole(number := int(text)), text, 'too large', 'a number')
  return number


def _check(fits: bool, value: T, wanted: str, where: str) -> T:
  """The value, if `fits` is true."""
  if not fits:
    raise Unfit(f'{where} is {_abbreviated(value)}: {wanted}')
  return value


def _abbreviated(value: Any) -> str:
  """A value in a message; a list, a dict or the like is named by its type alone."""
  is_scalar = value is None or isinstance(value, (bool, int, float, str))
  return repr(value)[:_MAX_CHARACTERS] if is_scalar else f'a {type(value).__name__}'


def _is_whole(value: Any) -> bool:
  return type(value) is int and -_MAX_INTEGER < value < _MAX_INTEGER


def _is_number(value: Any) -> bool:
  return _is_whole(value) or (type(value) is float and math.isfinite(value))


_SCALARS: dict[Any, Callable[[Any], bool]] = {
  bool: lambda value: type(value) is bool,
  int: _is_whole,
  float: _is_number,
  str: lambda value: type(value) is str,
}


def _bounded(value: Any, bound: Any, where: str) -> Any:
  """A string that matches a pattern, or a number not less than a lower bound."""
  if value is None:
    return None
  if hasattr(bound, 'fullmatch'):
    return _check(bool(bound.fullmatch(value)), value, f'not {bound.pattern}', where)
  return _check(value >= bound, value, f'{bound} or more expected', where)


def _without_none(kinds: Sequence[Any]) -> Any:
  """The other type in a union with None."""
  (kind,) = (kind for kind in kinds if kind is not types.NoneType)
  return kind


def _list(value: Any, kind: Any, where: str) -> list[Any]:
  _check(isinstance(value, list), value, 'a list expected', where)
  if kind in _SCALARS and all(map(_SCALARS[kind], value)):
    return value  # the quick way, for very many scores
  return [_fit(item, kind, f'{where}[{i}]') for i, item in enumerate(value)]


def _dict(value: Any, names: Any, kind: Any, where: str) -> dict[str, Any]:
  _check(isinstance(value, dict), value, 'an object expected', where)
  return {
    _fit(name, names, 'a name'): _fit(item, kind, f'{_abbreviated(name)} of {where}')
    for name, item in value.items()
  }


def _record(value: Any, kind: Any, where: str) -> Any:
  """A dataclass or a NamedTuple; in JSON a NamedTuple may be a list of its fields."""
  fields, required = _fields(kind)
  if isinstance(value, list) and hasattr(kind, '_fields'):
    _check(len(value) <= len(fields), value, f'{len(fields)} fields expected', where)
    value = dict(zip(fields, value, strict=False))
  _check(isinstance(value, dict), value, f'a {kind.__name__} expected', where)
  items = dict(value)
  if wrong := (required - items.keys()) | (items.keys() - fields.keys()):
    raise Unfit(f'{where} has fields that a {kind.__name__} has not, or lacks: {min(wrong)!r}')
  return kind(**{name: _fit(item, fields[name], name) for name, item in items.items()})


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
  """The types of the fields of a record, and the names of the fields without a default."""
  hints = typing.get_type_hints(kind, include_extras=True)
  if not dataclasses.is_dataclass(kind):
    return {n: hints[n] for n in kind._fields}, frozenset(
      {*kind._fields} - {*kind._field_defaults}
    )
  fields = dataclasses.fields(kind)
  none = dataclasses.MISSING
  required = (f.name for f in fields if f.default is none and f.default_factory is none)
  return {field.name: hints[field.name] for field in fields}, frozenset(required)
