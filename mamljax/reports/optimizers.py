"""Optimisers of optax in words, read off the functions that they are made of.

An optimiser does not know its name: it is a pair of functions. But the functions of optax keep
their numbers in closures, and are called after the transformation that made them.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import optax

_PLUMBING = ('chain', 'identity', 'with_extra_args_support')
_DEPTH = 8  # of transformations within transformations


def describe(optimizer: optax.GradientTransformation) -> str:
  """An optimiser by the transformations that it is made of, with their numbers.

  >>> describe(optax.sgd(0.1, momentum=0.9))
  'an optimiser of optax: trace(decay=0.9), scale(step_size=-0.1)'
  """
  names = ', '.join(_names(optimizer.update, _DEPTH))
  if names:
    return f'an optimiser of optax: {names}'
  return 'an optimiser without a name (a function that is defined by `def` has one)'


def _names(function: Any, depth: int) -> Iterator[str]:
  """The transformation that a function belongs to, and those within it."""
  name = getattr(function, '__qualname__', '').partition('.')[0]
  held = _closure(function)
  if name and name not in _PLUMBING and '<' not in name:
    told = [text for item in held.items() if (text := _option(*item))]
    yield name + f'({", ".join(told)})' * bool(told)
  for part in (part for value in held.values() if depth for part in _parts(value)):
    yield from _names(part, depth - 1)


def _parts(value: Any) -> list[Any]:
  """The functions of transformations that a variable holds: of one, or of several in turn."""
  if isinstance(value, optax.GradientTransformation):
    return [value.update]
  if type(value) in (tuple, list):
    return [getattr(part, 'update', part) for part in value if not isinstance(part, dict)]
  return []


def _closure(function: Any) -> dict[str, Any]:
  """The variables that a function keeps, by name."""
  try:
    return dict(inspect.getclosurevars(function).nonlocals)
  except (TypeError, ValueError):  # no function of Python, or a variable that is not set yet
    return {}


def _option(name: str, value: Any) -> str:
  """A number with its name, or the name of a function that can be imported; else ''."""
  if isinstance(value, int | float) and not isinstance(value, bool):
    return f'{name}={value:.4g}'
  own = getattr(value, '__qualname__', '<')
  return '' if '<' in own or not callable(value) else own
