"""Arrays on the devices of a mesh, which may belong to several processes.

Every process computes the same, and holds the trials of its own devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding

AXIS = 'trials'


def trials_mesh(*, devices: int | None = None) -> Mesh:
  """A mesh of the first so many devices, or of all, that share trials out."""
  chosen = jax.devices()[:devices]
  return jax.make_mesh((len(chosen),), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def own_rows(rows: jax.Array, sharding: NamedSharding) -> jax.Array:
  """The rows that are on this process's devices: all of them, if there is one process."""
  if jax.process_count() == 1:
    return rows
  slices = sharding.addressable_devices_indices_map(rows.shape).values()
  starts = sorted((part[0].start or 0, part[0].stop) for part in slices if part)
  return jnp.concatenate([rows[start:stop] for start, stop in starts])


def own_copy(tree: Any) -> Any:
  """The copy on this process's first device of arrays that were spread to all devices."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def spread(tree: Any, sharding: NamedSharding) -> Any:
  """Puts arrays on the devices of a mesh; each process holds the rows that are its own."""
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda leaf: _spread(jnp.asarray(leaf), sharding), tree)


def gather(tree: Any) -> Any:
  """Whole arrays as NumPy's, in every process."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)


def _spread(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
  """One array, which may be of random keys, on the devices of a mesh."""
  if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    data = _spread(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))
