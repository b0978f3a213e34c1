"""Class labels of any type: numbered in ascending order, their names kept."""

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mamljax.errors import InputError


class Classes(NamedTuple):
  """Labels by number.

  Attributes:
    labels: integers [n] in 0..classes-1.
    names: the label of each class as it was given, ascending: integers, booleans or strings.
  """

  labels: np.ndarray
  names: tuple[Any, ...]


def number_classes(name: str, labels: Any, *, count: int) -> Classes:
  """Numbers classes in the ascending order of their labels.

  Args:
    name: the labels' name in messages.
    labels: [count] integers, booleans, strings, or floats that are whole numbers.
    count: the examples that need one each.

  Raises:
    InputError: if they are anything else, or of several types.
  """
  array = _one_type(name, labels)
  if array.ndim == 2 and len(array) == count:
    advice = 'labels.argmax(axis=1)' if array.shape[1] > 1 else 'labels.ravel()'
    raise InputError(f'{name} must be one for each example, not {list(array.shape)}: {advice}')
  if array.shape != (count,):
    raise InputError(f'{count} inputs need {name} [{count}], not {list(array.shape)}')
  if array.dtype.kind == 'f':
    array = _whole(name, array)
  if array.dtype.kind not in 'iubUS':
    raise InputError(f'{name} must be integers, booleans or strings, not {array.dtype}')
  names, inverse = np.unique(array, return_inverse=True)
  return Classes(inverse, tuple(names.tolist()))


def _one_type(name: str, labels: Any) -> np.ndarray:
  """The labels as an array; NumPy would turn [1, 'a'] into strings, and [True, 2] into 1, 2."""
  try:
    array = np.asarray(labels)
  except Exception as error:  # ragged lists
    raise InputError(f'{name} are no array: {str(error).splitlines()[0]}') from error
  if array.dtype != object and not isinstance(labels, list | tuple):
    return array
  members: Sequence[Any] = array.tolist() if array.dtype == object else labels
  kinds = {_kind(member) for member in members}
  if len(kinds) > 1:
    raise InputError(f'{name} must be of one type, not of {" and ".join(sorted(kinds))}')
  if array.dtype == object and kinds == {'strings'}:
    return array.astype(str)
  return array.astype(np.int64) if array.dtype == object and kinds == {'numbers'} else array


def _kind(member: Any) -> str:
  """The kind of a label, by which a list of several is noticed."""
  if isinstance(member, bool | np.bool_):
    return 'booleans'
  if isinstance(member, str):
    return 'strings'
  return 'numbers' if isinstance(member, numbers.Integral) else type(member).__name__


def _whole(name: str, array: np.ndarray) -> np.ndarray:
  """Floats as integers, if they are; others are measurements, and no classes."""
  whole = np.isfinite(array) & (array == np.rint(array))
  if not whole.all():
    raise InputError(
      f'{name} must be classes: {array[~whole][0]} is no whole number (strings serve as well)'
    )
  return array.astype(np.int64)
