"""Validators of the public functions; each raises an `InputError` that names the value.

Shapes and types are always checked. Values are checked where they are at hand: an array that
is traced, by `jit` or `vmap`, or lies on another machine has none to look at, and passes.
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
  """Refuses a value below `least`, or that is no whole number, such as True or 1.0."""
  if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
    raise InputError(f'{name} must be a whole number, not {value!r}')
  if value < least:
    raise InputError(f'{name} must be {least} or more, not {value}')


def one_of(name: str, value: Any, known: Collection[str]) -> None:
  """Refuses a name that is not known, with the nearest known ones."""
  if value not in known:
    raise unknown(name, value, known)


def count(least: int) -> dict[str, Any]:
  """Metadata of a `Checked` static field for a whole number, at least `least`."""
  return {'static': True, 'least': least}


def choice(*known: str) -> dict[str, Any]:
  """Metadata of a `Checked` static field for one of the known names."""
  return {'static': True, 'known': known}


def positive() -> dict[str, Any]:
  """Metadata of a `Checked` field for a ridge or shrinkage, which must be more than 0."""
  return {'positive': True}


def nonnegative() -> dict[str, Any]:
  """The metadata of a field that holds a finite number of 0 or more."""
  return {'nonnegative': True}


class Checked:
  """Base of dataclasses whose fields have the metadata above: checks them on creation."""

  def __post_init__(self):
    fields(self)


def fields(made: Any) -> None:
  """Refuses a dataclass with a field that is not as its metadata, of the above, has it."""
  for field in dataclasses.fields(made):
    value = getattr(made, field.name)
    if 'least' in field.metadata:
      whole(field.name, value, least=field.metadata['least'])
    if 'known' in field.metadata:
      one_of(field.name, value, field.metadata['known'])
    if 'nonnegative' in field.metadata:
      amount(field.name, value)
    if 'positive' in field.metadata:
      above_zero(field.name, value)


def concrete(array: Any) -> np.ndarray | None:
  """The values of an array, or None if it is traced or lies on other machines."""
  if isinstance(array, Tracer) or not isinstance(array, jax.Array | np.ndarray):
    return None
  is_local = isinstance(array, np.ndarray) or array.is_fully_addressable
  return np.asarray(array) if is_local else None


def scalar(name: str, value: Any) -> None:
  """Refuses an array of several numbers as a rate or a scale, and what is no number."""
  if value is None or isinstance(value, str):
    raise InputError(f'{name} must be one number, not {value!r}')
  if jnp.ndim(value) != 0:
    raise InputError(f'{name} must be one number, not {list(jnp.shape(value))}: use jax.vmap')


def amount(name: str, value: Any) -> None:
  """Refuses an amount that is negative, infinite or NaN."""
  amounts = value if isinstance(value, int | float | np.number) else concrete(value)
  if amounts is not None and not np.all((amounts >= 0) & np.isfinite(amounts)):
    raise InputError(f'{name} must be finite and 0 or more, not {amounts}')


def above_zero(name: str, value: Any) -> None:
  """Refuses a Python or NumPy number of 0 or less.

  A JAX array passes unread, since to read it would wait for the device: at 0 the singular
  system gives NaN.
  """
  if isinstance(value, int | float | np.number) and not value > 0:
    raise InputError(
      f'{name} must be more than 0, not {value}: otherwise a covariance of fewer samples than '
      f'dimensions is singular'
    )


def interval(name: str, ends: Any) -> None:
  """Refuses anything but two finite numbers, the lower one first."""
  if len(ends) != 2 or not np.isfinite(ends).all() or not ends[0] < ends[1]:
    raise InputError(f'{name} must be two finite numbers, the lower one first, not {ends!r}')


def images(name: str, pixels: Any, *, leading: int = 1) -> None:
  """Refuses images that are no arrays of finite floats, or 8-bit pixels not divided by 255.

  Args:
    name: the images' name in the message.
    pixels: an array.
    leading: its axes before those of an image.
  """
  dtype = getattr(pixels, 'dtype', None)
  if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
    advice = ': divide pixels of 8 bits by 255' if dtype == np.uint8 else ''
    kind = dtype or type(pixels).__name__
    raise InputError(f'{name} must be an array of floats, not {kind}{advice}')
  values = concrete(pixels)
  if values is None or values.size == 0:
    return
  low, high = float(values.min()), float(values.max())
  if not np.isfinite([low, high]).all():
    raise InputError(f'{name} must be finite, not in [{low}, {high}]')
  if values.ndim - leading >= 2:
    undivided(name, values, low=low, high=high)


def undivided(name: str, pixels: np.ndarray, *, low: float, high: float) -> None:
  """Refuses floats in [low, high] that are whole numbers as 8-bit pixels are.

  A network meant for [0, 1] has gradients of 1e9 on them. Whole numbers to 15 pass, as counts.
  """
  if low >= 0 and 15 < high <= 255 and not (pixels % 1).any():
    raise InputError(
      f'{name}: whole numbers in {low:.0f}..{high:.0f} look like pixels of 8 bits: divide by '
      f'255 (a model that takes them as they are can multiply by 255 in its loss)'
    )


def batch(name: str, examples: Batch) -> None:
  """Refuses a batch whose images are not valid, or without exactly one valid label for each."""
  images(f'{name} images', examples.images)
  shape, labels = jnp.shape(examples.images), jnp.shape(examples.labels)
  if len(shape) < 2 or shape[0] == 0 or labels[:1] != shape[:1]:
    raise InputError(
      f'{name} images {list(shape)} need a label each, not labels {list(labels)}'
    )
  values = concrete(examples.labels)
  if values is not None and not (valid := _valid_labels(values)).all():
    wanted = 'finite' if values.dtype.kind == 'f' else '0 or more'
    raise InputError(f'{name} labels must be {wanted}, not {values[~valid].flat[0]}')


def _valid_labels(values: np.ndarray) -> np.ndarray:
  """The labels that are slots, 0 or more, or finite numbers to be regressed on."""
  if values.dtype.kind == 'f':
    return np.isfinite(values)
  return values >= 0 if values.dtype.kind in 'biu' else np.zeros(values.shape, bool)


def task(sets: Task) -> None:
  """Refuses a task with an invalid set, or whose sets have images of different shapes."""
  batch('support', sets.support)
  batch('query', sets.query)
  support, query = (jnp.shape(examples.images)[1:] for examples in sets)
  if support != query:
    raise InputError(f'support images are {list(support)}, query images {list(query)}')


def integer(name: str, value: Any) -> None:
  """Refuses anything but an array of one integer."""
  kind, shape = getattr(value, 'dtype', type(value).__name__), jnp.shape(value)
  if shape or not hasattr(value, 'dtype') or not jnp.issubdtype(value.dtype, jnp.integer):
    raise InputError(f'{name} must be an array of one integer, not {kind}{list(shape)}')


def labels(name: str, slots: Any, *, ways: int) -> None:
  """Refuses labels that are no integers in 0..ways-1."""
  if not jnp.issubdtype(slots.dtype, jnp.integer):
    raise InputError(f'{name} must be integers in 0..{ways - 1}, not {slots.dtype}')
  values = concrete(slots)
  if values is not None and (outside := values[(values < 0) | (values >= ways)]).size:
    raise InputError(f'{name} must be in 0..{ways - 1}, not {outside.flat[0]}')


def pool(source: Pool, *, per_class: int) -> None:
  """Refuses a pool of no images, or with too few of a class.

  Traced counts say nothing, but the images of all classes together must be enough.
  """
  dtype, shape = source.images.dtype, source.images.shape
  if dtype not in (np.uint8, np.float32) or len(shape) < 2:
    raise InputError(f'a pool holds uint8 or float32 [n, ...], not {dtype}{list(shape)}')
  counts, classes = concrete(source.counts), source.counts.shape[0]
  if shape[0] < per_class * classes and counts is None:
    raise InputError(
      f'{per_class} different images of each class are needed, and a pool of {classes} classes '
      f'has {shape[0]} in all'
    )
  if counts is not None and counts.size and counts.min() < per_class:
    smallest = int(counts.argmin())
    raise InputError(
      f'{per_class} different images of each class are needed, and class {smallest} of the '
      f'pool has {counts[smallest]}'
    )


def references(source: Pool) -> None:
  """Refuses references that are not stored class after class, equally many of each."""
  pool(source, per_class=1)
  total, classes = len(source.images), len(source.counts)
  starts, counts = concrete(source.starts), concrete(source.counts)
  uneven = counts is not None and (counts != total / classes).any()
  moved = starts is not None and (starts * classes != np.arange(classes) * total).any()
  if total % classes or uneven or moved:
    raise InputError(
      f'references must be class after class, equally many of each, as from_arrays and '
      f'first_of_each make them: {total} images of {classes} classes'
      + ('' if counts is None else f' have counts {counts.tolist()[:20]}')
    )
