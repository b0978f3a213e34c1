"""Matching of a file's arrays with the leaves of a pytree: by name, else by shape and order."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from mamljax.errors import InputError, unknown
from mamljax.numerics import path_name

Shape = tuple[int, ...]
# Roles of parameters by the last part of their names, in PyTorch, Flax, Haiku and Equinox.
_ROLES = {
  **dict.fromkeys(('weight', 'kernel', 'w', 'scale', 'gamma', 'embedding'), 'weight'),
  **dict.fromkeys(('bias', 'b', 'offset', 'beta'), 'bias'),
  **dict.fromkeys(('running_mean', 'mean'), 'mean'),
  **dict.fromkeys(('running_var', 'var'), 'variance'),
  'num_batches_tracked': 'count',
}
_STATISTICS = ('mean', 'variance', 'count')  # of batch normalisation: no parameters


class Leaf(NamedTuple):
  """A leaf of a pytree: its path, its name and its shape."""

  path: tuple[Any, ...]
  name: str
  shape: Shape


def leaves_of(like: Any) -> list[Leaf]:
  """The array leaves of a pytree; functions and the like, as of Equinox, are none."""
  found = jax.tree_util.tree_leaves_with_path(like)
  return [Leaf(p, path_name(p), tuple(x.shape)) for p, x in found if hasattr(x, 'shape')]


def match_names(
  leaves: Sequence[Leaf], shapes: Mapping[str, Shape], names: Mapping[str, str]
) -> dict[str, str]:
  """The array of each leaf that has one of its own name, or of the name given for it.

  Args:
    leaves: the leaves.
    shapes: of the arrays in the file.
    names: the name in the file by that of the leaf, as the user has it.

  Raises:
    InputError: if a name is that of no leaf or array.
  """
  known = {leaf.name for leaf in leaves}
  for leaf, name in names.items():
    if leaf not in known:
      raise unknown('parameter', leaf, known)
    if name not in shapes:
      raise unknown('array of the file', name, shapes)
  plain = {_plain(name): name for name in shapes}
  exact = {leaf.name: plain[_plain(leaf.name)] for leaf in leaves if _plain(leaf.name) in plain}
  return exact | dict(names)


def match_shapes(
  leaves: Sequence[Leaf], shapes: Mapping[str, Shape], *, ordered: bool
) -> dict[str, str]:
  """The array of each leaf, by shape and role and, among several alike, by their order.

  Args:
    leaves: leaves without an array of their name.
    shapes: of the arrays that are left, as the leaves would have them.
    ordered: the file keeps the order in which its arrays were saved.

  Raises:
    InputError: if the arrays of some shape are more or fewer than the leaves, or nothing tells
      their order; the message names both.
  """
  wanted: dict[Any, list[Leaf]] = defaultdict(list)
  found: dict[Any, list[str]] = defaultdict(list)
  with_roles = all(role(name) for name in (*shapes, *(leaf.name for leaf in leaves)))
  for leaf in leaves:
    wanted[essential(leaf.shape), with_roles and role(leaf.name)].append(leaf)
  for name, shape in shapes.items():
    if with_roles or role(name) not in _STATISTICS:
      found[essential(shape), with_roles and role(name)].append(name)
  matched: dict[str, str] = {}
  for key in {**wanted, **found}:
    own, candidates = wanted.get(key, []), found.get(key, [])
    if own or key[1] not in _STATISTICS:
      matched |= _in_order(own, candidates, ordered=ordered)
  return matched


def role(name: str) -> str | None:
  """The role of a parameter by its name: 'weight', 'bias', ...; None if the name is no help."""
  return _ROLES.get(re.split(r'[./]', name)[-1])


def essential(shape: Shape) -> Shape:
  """The shape without the trailing ones of a bias [channels, 1, 1], as Equinox has it."""
  return shape[:1] if len(shape) > 2 and set(shape[1:]) == {1} else shape


def natural(name: str) -> list[Any]:
  """A key to sort names by, with numbers in their order: conv2 before conv10."""
  parts = re.split(r'(\d+)', name)
  return [int(part) if part.isdigit() else part for part in parts]


def _plain(name: str) -> str:
  """A name with one separator and without Flax's collection."""
  return name.replace('.', '/').removeprefix('params/')


def _in_order(leaves: list[Leaf], candidates: list[str], *, ordered: bool) -> dict[str, str]:
  """Leaves and arrays of one shape, matched one by one."""
  if len(leaves) != len(candidates):
    raise InputError(_unequal(leaves, candidates))
  if len(leaves) > 1 and not (_is_sorted(leaves) and (ordered or _stems(candidates) == 1)):
    wanted, found = ', '.join(leaf.name for leaf in leaves), ', '.join(candidates)
    raise InputError(
      f'{found} all have the shape of {wanted}, and their names do not tell which is which: '
      f'give names={{{leaves[0].name!r}: {candidates[0]!r}, ...}}'
    )
  if _stems([leaf.name for leaf in leaves]) == 1:
    leaves = sorted(leaves, key=lambda leaf: natural(leaf.name))
  if not ordered:
    candidates = sorted(candidates, key=natural)
  return {leaf.name: name for leaf, name in zip(leaves, candidates, strict=True)}


def _unequal(leaves: list[Leaf], candidates: list[str]) -> str:
  """The message that leaves or arrays are left over."""
  if len(leaves) > len(candidates):
    rest = f'only {", ".join(candidates)}' if candidates else 'no array'
    names = ', '.join(leaf.name for leaf in leaves)
    return f'the file does not fit: for {names} of shape {list(leaves[0].shape)} it has {rest}'
  rest = ', '.join(leaf.name for leaf in leaves) or 'no parameter'
  return f'the file does not fit: {", ".join(candidates)} would be of the shape of {rest}'


def _is_sorted(leaves: list[Leaf]) -> bool:
  """Tests whether leaves are known to be in the order in which a network computes.

  They are if numbers alone tell them apart, or places in a list or the fields of a class; a
  dictionary is sorted by the alphabet.
  """
  if _stems([leaf.name for leaf in leaves]) == 1:
    return True
  at_once = zip(*(leaf.path for leaf in leaves), strict=False)
  first = next((keys for keys in at_once if len(set(keys)) > 1), ())
  return not any(isinstance(key, jax.tree_util.DictKey) for key in first)


def _stems(names: Sequence[str]) -> int:
  """The number of names that differ in more than their numbers."""
  return len({re.sub(r'\d+', '#', name) for name in names})
