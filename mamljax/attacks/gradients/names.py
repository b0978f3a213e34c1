"""Parameters by name: attacks on one layer find it in plain dicts, as flax.linen has them."""

from typing import Any, NoReturn

import jax

from mamljax.errors import InputError
from mamljax.types import Params

Path = tuple[str, ...]


def by_path(params: Params) -> dict[Path, jax.Array]:
  """The leaves of any pytree, each by the names that lead to it; a place in a list is one."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {tuple(map(_name, path)): leaf for path, leaf in leaves}


def check_layers(params: Params, reader: str) -> None:
  """Refuses parameters whose layers cannot be found by name.

  Args:
    params: parameters, or a gradient like them.
    reader: what reads them, such as "attack 'row_space'".

  Raises:
    InputError: unless they are a dict of layers, each an array or a dict.
  """
  if not isinstance(params, dict):
    _refuse(reader, f'not a {type(params).__name__}')
  if set(params) == {'params'} or 'params' in params:
    _refuse(reader, "not all variables of a network: give variables['params']")
  for name, layer in params.items():
    if not (isinstance(layer, dict) or hasattr(layer, 'ndim')):
      _refuse(reader, f'and {name!r} is a {type(layer).__name__}')


def describe(params: Params) -> str:
  """The first names of parameters, for a message."""
  names = ['/'.join(path) for path in by_path(params)]
  return ', '.join([*names[:4], *(['...'] if names[4:] else [])])


def _refuse(reader: str, reason: str) -> NoReturn:
  raise InputError(
    f"{reader} finds a layer by its name, in a dict of dicts with 'kernel' and 'bias', as "
    f'flax.linen has them: {reason}'
  )


def _name(part: Any) -> str:
  """A part of a path: a key of a dict, a place in a list or the name of an attribute."""
  for kind in ('key', 'idx', 'name'):
    if hasattr(part, kind):
      return str(getattr(part, kind))
  return str(part)
