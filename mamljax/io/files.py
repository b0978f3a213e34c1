"""Arrays by name in .npz, .safetensors and PyTorch's files, never unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import atomic
from mamljax.data import npz
from mamljax.errors import InputError, unknown
from mamljax.file_kinds import kind_of
from mamljax.numerics import path_name

SUFFIXES = ('.npz', '.safetensors')


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """The arrays in a file by name, in the order of the file.

  Args:
    path: an .npz or .safetensors file, or, where PyTorch is installed, a file of
      `torch.save(model.state_dict(), path)` or of a list of tensors, whose names are then '0',
      '1', and so on. Its content tells which, not its name. bfloat16 and float16 become
      float32.

  Raises:
    InputError: if the file cannot be read, is damaged or of another kind, or holds anything
      but arrays of numbers. Nothing is ever unpickled.
  """
  try:
    kind = kind_of(atomic.regular(path))
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  if kind.name not in _READERS:
    advice = f', read by {kind.reader}' if kind.reader else ''
    raise InputError(
      f'cannot read arrays from {path}: it is {kind.what}{advice}; .npz, .safetensors and .pt '
      f'are read'
    )
  arrays = _READERS[kind.name](path)
  for name, array in arrays.items():
    if array.dtype.kind not in 'biuf':
      raise InputError(f'{path}: {name} is an array of {array.dtype}, not of numbers')
  return arrays


def save(path: str | os.PathLike[str], tree: Any) -> None:
  """Writes the arrays of a pytree under their paths, such as 'Dense_0/kernel', atomically.

  For gradients, candidates and parameters that other programs are to read; `load_arrays` and
  `load` read them back bit for bit, narrow floats as float32.

  Args:
    path: a path that ends in .npz or .safetensors.
    tree: a pytree of arrays.

  Raises:
    InputError: if the path has another ending, a leaf is no array of numbers, or the folder
      cannot be written.
  """
  suffix = Path(path).suffix
  if suffix not in SUFFIXES:
    raise unknown('ending of a file of arrays', suffix, SUFFIXES)
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  arrays = {path_name(at) or 'array': _numbers(path_name(at), leaf) for at, leaf in leaves}
  if suffix == '.npz':
    return npz.write(path, compress=False, **arrays)
  from safetensors.numpy import save as serialize

  return atomic.write_bytes(path, serialize(arrays))


def _numbers(name: str, leaf: Any) -> np.ndarray:
  """A leaf as an array in C order."""
  array = _widened(np.asarray(leaf))
  if array.dtype.kind not in 'biuf':
    raise InputError(f'{name} is {array.dtype}, not an array of numbers that a file can hold')
  return np.ascontiguousarray(array).reshape(array.shape)


def _read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  names = npz.names(path)
  return dict(zip(names, npz.read(path, keys=names), strict=True))


def _read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  from safetensors import SafetensorError, deserialize  # its readers of arrays know no bfloat16

  try:
    members = deserialize(Path(path).read_bytes())
  except (SafetensorError, ValueError) as error:
    raise InputError(f'cannot read {path} as safetensors: {error}') from error
  foreign = [
    f'{name} is {member["dtype"]}' for name, member in members if member['dtype'] not in _TYPES
  ]
  if foreign:
    raise InputError(f'{path}: {foreign[0]}, of which NumPy has no arrays')
  return {name: _widened(_member(member)) for name, member in members}


def _member(member: Any) -> np.ndarray:
  """The array of a member of a safetensors file."""
  dtype = jnp.dtype(_TYPES[member['dtype']]).newbyteorder('<')
  return np.frombuffer(member['data'], dtype).reshape(member['shape'])


def _widened(array: np.ndarray) -> np.ndarray:
  """float32 in place of a narrower type of floats, in which nothing is lost."""
  narrow = array.dtype.name in ('bfloat16', 'float16')
  return array.astype(np.float32) if narrow else array


def _read_torch(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  try:
    import torch  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    raise InputError(
      f"{path} is PyTorch's, which is not installed: save safetensors or numpy.savez there"
    ) from error
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # of the pickle's, of the archive's and of PyTorch's own kinds
    raise InputError(
      f'cannot read {path} as tensors alone: save it by torch.save(model.state_dict(), path)'
    ) from error
  tensors = _tensors(path, state, torch.Tensor)
  return {name: _widened(_of_tensor(tensor)) for name, tensor in tensors.items()}


def _of_tensor(tensor: Any) -> np.ndarray:
  """The numbers of a tensor of any layout; NumPy has no bfloat16 of PyTorch's."""
  detached = tensor.detach().cpu()
  return (detached.float() if detached.dtype.itemsize == 2 else detached).numpy()


def _tensors(path: Any, state: Any, tensor: type) -> dict[str, Any]:
  """The tensors of a file: of a list, of a dictionary, or of the one dictionary within it."""
  if isinstance(state, list | tuple):
    state = {str(at): member for at, member in enumerate(state)}
  if isinstance(state, tensor):
    return {'array': state}
  if not isinstance(state, Mapping):
    raise InputError(f'{path} holds no tensors, but {type(state).__name__}')
  if all(isinstance(member, tensor) for member in state.values()):
    return {str(name): member for name, member in state.items()}
  inner = [name for name, member in state.items() if _is_state(member, tensor)]
  if len(inner) != 1:
    raise InputError(
      f'{path} holds {", ".join(map(str, state))}, not tensors: save model.state_dict() alone'
    )
  return {str(name): member for name, member in state[inner[0]].items()}


def _is_state(member: Any, tensor: type) -> bool:
  """Tests whether a member of a checkpoint is a dictionary of tensors."""
  is_dictionary = isinstance(member, Mapping) and len(member) > 0
  return is_dictionary and all(isinstance(leaf, tensor) for leaf in member.values())


_TYPES = {
  **{f'F{bits}': f'float{bits}' for bits in (16, 32, 64)},
  **{
    f'{sign}{bits}': f'{kind}{bits}'
    for sign, kind in (('I', 'int'), ('U', 'uint'))
    for bits in (8, 16, 32, 64)
  },
  'BF16': 'bfloat16',
  'BOOL': 'bool',
}
_READERS = {'npz': _read_npz, 'safetensors': _read_safetensors, 'torch': _read_torch}
