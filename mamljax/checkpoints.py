"""Checkpoints of parameters: msgpack with a SHA-256, written atomically, never pickled."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from mamljax import atomic
from mamljax.errors import InputError
from mamljax.numerics import path_name
from mamljax.types import Params


def save(path: str | os.PathLike[str], params: Params) -> None:
  """Writes a pytree of arrays to `path`, whole or not at all.

  Raises:
    InputError: if the folder cannot be written, or a leaf is not an array that `load` would
      give back bit for bit: a Python number, text, a typed random key, or an array in double
      precision without `jax_enable_x64`. The message names the leaf; nothing is written.
  """
  state = jax.tree_util.tree_map_with_path(_native, serialization.to_state_dict(params))
  try:
    payload = serialization.msgpack_serialize(state, in_place=True)
  except TypeError as error:  # a node of a type that flax does not serialise
    raise InputError(f'{path} cannot hold these parameters: {error}') from error
  atomic.write_sealed(path, payload)


def load(path: str | os.PathLike[str], like: Params) -> Params:
  """Reads the parameters that `save` wrote.

  Args:
    path: the file.
    like: a pytree with the expected structure, shapes and types; its values are not read, so
      that the `jax.eval_shape` of an initialiser serves.

  Returns:
    A pytree like `like`, of JAX arrays equal to the saved ones bit for bit.

  Raises:
    DamagedFile: if a byte of the file is missing or changed.
    ForeignFile: if another program wrote it.
    InputError: if the file cannot be read, or holds other parameters than `like`; the
      message names the first leaf that differs.
  """
  try:
    payload = atomic.read_sealed(path)
  except OSError as error:
    raise InputError(f'cannot read the checkpoint {path}: {error.strerror}') from error
  try:
    state: Any = serialization.msgpack_restore(payload)
  except Exception as error:  # msgpack and flax raise a dozen kinds
    raise InputError(f'{path} holds no parameters') from error
  saved, expected = _leaves(state), _leaves(serialization.to_state_dict(like))
  for name in [*expected, *saved]:
    actual, wanted = saved.get(name, 'missing'), expected.get(name, 'no such parameter')
    if actual != wanted:
      raise InputError(f'{path} does not fit: {name} is {actual}, expected {wanted}')
  jax.tree_util.tree_map_with_path(_native, state)
  return jax.tree.map(jnp.asarray, serialization.from_state_dict(like, state))


def _native(path: Any, leaf: Any) -> np.ndarray:
  """The leaf in this machine's byte order, the only one that msgpack's readers know.

  Raises:
    InputError: if JAX has no array of its type.
  """
  name = path_name(path)
  if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
    raise InputError(f'{name} is a {type(leaf).__name__}, not an array: use jnp.asarray')
  if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
    raise InputError(f'{name} is a typed random key: save its jax.random.key_data')
  array = np.asarray(leaf)
  array = array.astype(array.dtype.newbyteorder('='), copy=False)
  if array.dtype.kind in 'OSUMm' or array.dtype.names:
    raise InputError(f'{name} is an array of {array.dtype}, not of numbers')
  if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
    raise InputError(f'{name} is {array.dtype.name}: JAX holds it with jax_enable_x64 only')
  return array


def _leaves(state: Any) -> dict[str, str]:
  """The type and shape of each leaf by name, as in {'conv/kernel': 'float32[3,3,1,32]'}."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return {path_name(path): _kind(leaf) for path, leaf in leaves}


def _kind(leaf: Any) -> str:
  """The type and shape of an array, or the type of any other leaf."""
  if not hasattr(leaf, 'dtype'):
    return type(leaf).__name__
  return f'{leaf.dtype.name}[{",".join(map(str, leaf.shape))}]'
