"""Fingerprints of computations and arrays, by which stored scores are found again.

A function is known by its jaxpr, what it computes, not by its name: a changed loss, optimiser
or attack has another fingerprint, however it was changed.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ADDRESS = re.compile(r'0x[0-9a-f]+')  # of a Python object: another in each process
_DIGITS = 20


def of(*parts: Any) -> str:
  """The fingerprint of texts, numbers and pytrees of arrays."""
  digest = hashlib.sha256()
  for part in parts:
    leaves, structure = jax.tree.flatten(part)
    digest.update(_ADDRESS.sub('', str(structure)).encode())
    for leaf in leaves:
      digest.update(_content(leaf))
  return digest.hexdigest()[:_DIGITS]


def of_computation(function: Any, *arguments: Any) -> str:
  """The fingerprint of what a function computes, of arguments with these shapes and types."""
  closed = jax.make_jaxpr(function)(*arguments)
  return of(_ADDRESS.sub('', str(closed)), list(_constants(closed)))


def _content(leaf: Any) -> bytes:
  """The bytes of an array or a number, with its shape and type; those of a text."""
  if isinstance(leaf, str):
    return leaf.encode()
  if hasattr(leaf, 'dtype') and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    leaf = jax.random.key_data(leaf)
  array = np.asarray(leaf)
  return f'{array.dtype}{array.shape}'.encode() + array.tobytes()


def _constants(closed: Any) -> Iterator[Any]:
  """The constants of a closed jaxpr and of those within it."""
  yield from closed.consts
  parameters = [list(equation.params.values()) for equation in closed.eqns]
  for inner in jax.tree.leaves(parameters):
    if hasattr(inner, 'consts') and hasattr(inner, 'eqns'):
      yield from _constants(inner)
