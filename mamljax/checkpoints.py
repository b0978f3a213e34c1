"""Parameters on disk: msgpack behind its own SHA-256, written atomically, never pickled."""

import os
from typing import Any

import jax
import jax.numpy as jnp
from flax import serialization

from mamljax import atomic
from mamljax.errors import InputError
from mamljax.types import Params


def save(path: str | os.PathLike[str], params: Params) -> None:
  """Writes a pytree of arrays to `path`, whole or not at all.

  Raises:
    InputError: if the folder cannot be written.
  """
  atomic.write_sealed(path, serialization.to_bytes(params))


def load(path: str | os.PathLike[str], like: Params) -> Params:
  """Reads what `save` wrote.

  Args:
    path: the file.
    like: a pytree with the structure, shapes and types expected; its values are not read,
      so `jax.eval_shape` of an initialiser will do.

  Returns:
    A pytree like `like`, with jax arrays equal to the saved ones bit for bit.

  Raises:
    DamagedFile: if a byte of the file is missing or changed.
    InputError: if the file cannot be read, or holds other parameters than `like`; the
      first leaf that differs is named.
  """
  try:
    payload = atomic.read_sealed(path)
  except OSError as error:
    raise InputError(f'cannot read the checkpoint {path}: {error.strerror}') from error
  state: Any = serialization.msgpack_restore(payload)
  found, expected = _leaves(state), _leaves(serialization.to_state_dict(like))
  for name in [*expected, *found]:
    kind, right = found.get(name, 'missing'), expected.get(name, 'no such parameter')
    if kind != right:
      raise InputError(f'{path} does not fit: {name} is {kind}, expected {right}')
  return jax.tree.map(jnp.asarray, serialization.from_state_dict(like, state))


def _leaves(state: Any) -> dict[str, str]:
  """Every leaf's name with its type and shape, such as 'conv/kernel': 'float32[3,3,1,32]'."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): (
      f'{leaf.dtype}[{",".join(map(str, leaf.shape))}]'
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }
