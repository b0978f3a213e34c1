"""Hooks of published numbers: frozen dataclasses whose fields are leaves, checked at first."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np

from mamljax import checks

T = TypeVar('T')


def holds(value: Any, condition: Callable[[Any], Any]) -> bool:
  """False for what is no number, or known to be not finite or to break the condition."""
  is_plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
  if not (is_plain or isinstance(value, jax.Array | np.ndarray)):
    return False
  known = np.asarray(value) if is_plain else checks.concrete(value)
  return known is None or bool(np.all(np.isfinite(known) & condition(known)))


def register(kind: type[T]) -> type[T]:
  """Registers a frozen dataclass as a pytree of its fields.

  It is made of its leaves unchecked: JAX fills in anything.
  """
  names = tuple(field.name for field in dataclasses.fields(cast(Any, kind)))

  def flatten(made: T) -> tuple[list[tuple[Any, Any]], None]:
    return [(jax.tree_util.GetAttrKey(name), getattr(made, name)) for name in names], None

  def unflatten(_: None, values: Any) -> T:
    made = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
      object.__setattr__(made, name, value)
    return made

  jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)
  return kind
