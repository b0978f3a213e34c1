"""Preparation of an attack, before any gradient arrives: once for the cells that share it."""

import hashlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.process.compilation import compile_once
from mamljax.attacks import Attack, Knowledge
from mamljax.attacks.base import name_of
from mamljax.audit.playing import prepare_attack
from mamljax.errors import Diverged
from mamljax.numerics import all_finite

_LAST: dict[type, Any] = {}  # of an attack: what it was prepared from last, and the outcome


def prepare_once(
  key: jax.Array, attack: Attack, knowledge: Knowledge
) -> tuple[Any, dict[str, float]]:
  """Prepares an attack, and says the seconds that it took: 0 if it was prepared last time.

  Cells that differ in their shots or inner rate, say, have the same model before training.

  Raises:
    Diverged: if it is not finite.
  """
  told = jax.tree.map(jnp.asarray, (key, attack, knowledge))
  leaves, structure = jax.tree.flatten(told)
  signature = structure, hashlib.sha256(b''.join(map(_bytes, leaves))).digest()
  kind = type(attack)
  if kind in _LAST and _LAST[kind][0] == signature:
    return _LAST[kind][1], {'prepare_seconds': 0.0, 'compile_seconds': 0.0}
  run, compile_seconds = compile_once(prepare_attack, *told, kind=kind)
  start = time.perf_counter()
  prepared = jax.block_until_ready(run(*told))
  seconds = time.perf_counter() - start
  if not all_finite(_learned(prepared)):
    raise Diverged(
      f'what {name_of(attack)!r} learns of public images is not finite: the model diverged, or '
      f'a covariance is singular and needs a larger --ridge'
    )
  _LAST[kind] = signature, prepared
  return prepared, {'prepare_seconds': seconds, 'compile_seconds': compile_seconds}


def _learned(prepared: Any) -> Any:
  """The learned part of a preparation, w included.

  The rest of the adversary's knowledge may hold infinite numbers that mean something: the
  bounds of a defence that clips nothing.
  """
  if isinstance(prepared, Knowledge):
    return prepared.params
  return prepared._replace(knowledge=prepared.knowledge.params)


def _bytes(leaf: jax.Array) -> bytes:
  """The content of an array, which may be a random key."""
  is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()
