"""Parameters that adapt, by their paths: a pytree with None in the others' places."""

from collections.abc import Callable

import jax

from mamljax.errors import InputError
from mamljax.numerics import path_name
from mamljax.protocol.learner import Learner
from mamljax.types import Params

Restrict = Callable[[Params], Params]


def restriction(learner: Learner, params: Params) -> Restrict:
  """A function that leaves, of a pytree like the parameters, those that adapt.

  Raises:
    InputError: if none of the parameters does.
  """
  if learner.trainable is None:
    return lambda tree: tree
  leaves, structure = jax.tree_util.tree_flatten_with_path(params)
  paths = [path_name(path) for path, _ in leaves]
  keep = [bool(learner.trainable(path)) for path in paths]
  if not any(keep):
    names = ', '.join([*paths[:4], *(['...'] if paths[4:] else [])])
    raise InputError(f'trainable chooses none of the parameters: {names}')
  mask = jax.tree.unflatten(structure, keep)
  return lambda tree: jax.tree.map(lambda kept, leaf: leaf if kept else None, mask, tree)


def merge(part: Params, whole: Params) -> Params:
  """The whole, with the leaves of a restricted part in their places."""
  return jax.tree.map(
    lambda new, old: old if new is None else new, part, whole, is_leaf=lambda leaf: leaf is None
  )
