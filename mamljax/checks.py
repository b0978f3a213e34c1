"""Validators of the public functions; each raises an `InputError` that names the value.

Shapes and types are always known. Values are looked at only where they are: within `jit` or
`vmap` a traced array says nothing of its content, and what cannot be known is let pass.
"""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mamljax.errors import InputError, unknown
from mamljax.types import Batch, Pool, Task

TARGETS = ('query', 'support')


def whole(name: str, value: Any, *, least: int) -> None:
  """Refuses what is no whole number (True and 1.0 are none) or less than `least`."""
  if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
    raise InputError(f'{name} must be a whole number, not {value!r}')
  if value < least:
    raise InputError(f'{name} must be {least} or more, not {value}')


def one_of(name: str, value: Any, known: Collection[str]) -> None:
  """Refuses a name that is not known, with the nearest that is."""
  if value not in known:
    raise unknown(name, value, known)


def count(least: int) -> dict[str, Any]:
  """The metadata of a static field that holds a whole number."""
  return {'static': True, 'least': least}


def choice(*known: str) -> dict[str, Any]:
  """The metadata of a static field that holds one of some names."""
  return {'static': True, 'known': known}


def positive() -> dict[str, Any]:
  """The metadata of a field that holds what makes a singular system regular: more than 0."""
  return {'positive': True}


class Checked:
  """A dataclass whose fields with the metadata of the above are checked when it is made."""

  def __post_init__(self):
    fields: Any = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
    for field in fields:
      value = getattr(self, field.name)
      if 'least' in field.metadata:
        whole(field.name, value, least=field.metadata['least'])
      if 'known' in field.metadata:
        one_of(field.name, value, field.metadata['known'])
      if 'positive' in field.metadata:
        above_zero(field.name, value)


def concrete(array: Any) -> np.ndarray | None:
  """The numbers of an array, or None where they are traced or on other machines."""
  if isinstance(array, Tracer) or not isinstance(array, jax.Array | np.ndarray):
    return None
  here = isinstance(array, np.ndarray) or array.is_fully_addressable
  return np.asarray(array) if here else None


def scalar(name: str, value: Any) -> None:
  """Refuses a rate or scale that is an array of several numbers."""
  if jnp.ndim(value) != 0:
    raise InputError(f'{name} must be one number, not {list(jnp.shape(value))}: use jax.vmap')


def amount(name: str, value: Any) -> None:
  """Refuses an amount that is negative or not finite."""
  seen = value if isinstance(value, int | float | np.number) else concrete(value)
  if seen is not None and not np.all((seen >= 0) & np.isfinite(seen)):
    raise InputError(f'{name} must be finite and 0 or more, not {seen}')


def above_zero(name: str, value: Any) -> None:
  """Refuses a number of 0; an array is not waited for, a singular system then gives NaN."""
  if isinstance(value, int | float | np.number) and not value > 0:
    raise InputError(
      f'{name} must be more than 0, not {value}: without it a covariance of fewer samples than '
      f'numbers is singular'
    )


def images(name: str, pixels: Any, *, unit: bool = False) -> None:
  """Refuses images that are no finite floats.

  Args:
    name: for the message.
    pixels: an array of any shape.
    unit: refuse also what is outside [0, 1].
  """
  kind = getattr(pixels, 'dtype', None)
  if kind is None or not jnp.issubdtype(kind, jnp.floating):
    raise InputError(
      f'{name} must be an array of floats in [0, 1], not {kind or type(pixels).__name__}'
    )
  seen = concrete(pixels)
  if seen is None or seen.size == 0:
    return
  low, high = float(seen.min()), float(seen.max())
  if not np.isfinite([low, high]).all():
    raise InputError(f'{name} must be finite, not in [{low}, {high}]')
  if unit and not 0 <= low <= high <= 1:
    raise InputError(f'{name} must be in [0, 1], not in [{low:.4g}, {high:.4g}]')


def batch(name: str, told: Batch, *, unit: bool = False) -> None:
  """Refuses a batch whose images are none, or whose labels are not one for each image."""
  images(f'{name} images', told.images, unit=unit)
  shape, labels = jnp.shape(told.images), jnp.shape(told.labels)
  if len(shape) < 2 or shape[0] == 0 or labels[:1] != shape[:1]:
    raise InputError(
      f'{name} images {list(shape)} need a label each, not labels {list(labels)}'
    )


def task(told: Task, *, unit: bool = False) -> None:
  """Refuses a task of which a set is refused, or whose sets differ in their images' shape."""
  batch('support', told.support, unit=unit)
  batch('query', told.query, unit=unit)
  support, query = (jnp.shape(part.images)[1:] for part in told)
  if support != query:
    raise InputError(f'support images are {list(support)}, query images {list(query)}')


def integer(name: str, value: Any) -> None:
  """Refuses what is no array of one integer."""
  kind, shape = getattr(value, 'dtype', type(value).__name__), jnp.shape(value)
  if shape or not hasattr(value, 'dtype') or not jnp.issubdtype(value.dtype, jnp.integer):
    raise InputError(f'{name} must be an array of one integer, not {kind}{list(shape)}')


def labels(name: str, told: Any, *, ways: int) -> None:
  """Refuses labels that are no integers in 0..ways-1."""
  if not jnp.issubdtype(told.dtype, jnp.integer):
    raise InputError(f'{name} must be integers in 0..{ways - 1}, not {told.dtype}')
  seen = concrete(told)
  if seen is not None and (outside := seen[(seen < 0) | (seen >= ways)]).size:
    raise InputError(f'{name} must be in 0..{ways - 1}, not {outside.flat[0]}')


def pool(told: Pool, *, per_class: int) -> None:
  """Refuses a pool of anything but uint8 images, or with too few of a class."""
  if told.images.dtype != np.uint8 or told.images.ndim < 2:
    raise InputError(
      f'a pool holds uint8 images [n, ...], not {told.images.dtype}{list(told.images.shape)}'
    )
  counts = concrete(told.counts)
  if counts is not None and counts.size and counts.min() < per_class:
    least = int(counts.argmin())
    raise InputError(
      f'{per_class} different images of each class are needed, and class {least} of the pool '
      f'has {counts[least]}'
    )


def references(told: Pool) -> None:
  """Refuses references that are not class after class, equally many of each."""
  pool(told, per_class=1)
  total, classes = len(told.images), len(told.counts)
  starts, counts = concrete(told.starts), concrete(told.counts)
  uneven = counts is not None and (counts != total / classes).any()
  moved = starts is not None and (starts * classes != np.arange(classes) * total).any()
  if total % classes or uneven or moved:
    raise InputError(
      f'references must be class after class, equally many of each: {total} images of '
      f'{classes} classes' + ('' if counts is None else f' have counts {counts.tolist()[:20]}')
    )
