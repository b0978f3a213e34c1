"""Care with pytrees: types that are kept, divergence that is noticed, leaves that are named."""

from typing import Any

import jax
import jax.numpy as jnp


def like(leaf: Any, number: Any) -> jax.Array:
  """The number or array in the type of the leaf.

  Python numbers adapt to the arrays they meet, but arrays promote each other: a float32
  learning rate would turn bfloat16 parameters into float32, NumPy's float64 would turn
  float32 ones into float64.
  """
  return jnp.asarray(number, jnp.result_type(leaf))


def is_finite(tree: Any) -> jax.Array:
  """A boolean scalar: True if no number in a pytree is infinite or NaN.

  Leaves that are not floating-point, such as integers and random keys, count as finite.
  """
  leaves = map(jnp.asarray, jax.tree.leaves(tree))
  inexact = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
  return jnp.array([jnp.isfinite(leaf).all() for leaf in inexact]).all()


def norm(tree: Any) -> jax.Array:
  """The norm over all numbers of a pytree, also where their squares would overflow."""
  largest, length, _ = _apart(tree)
  return largest * length


def clip_norm(tree: Any, most: float | jax.Array) -> Any:
  """A pytree scaled down to a norm of `most`, if its own is greater.

  Zeros stay zeros, and each leaf keeps its type. If a number is not finite, all become NaN.
  """
  largest, length, units = _apart(tree)
  allowed = like(largest, most) / length  # to the largest number
  told = jnp.where(jnp.isfinite(largest), allowed, jnp.nan)

  def clipped(leaf: Any, unit: jax.Array) -> jax.Array:
    return jnp.where(largest <= told, leaf, like(leaf, unit * told))

  return jax.tree.map(clipped, tree, units)


def _apart(tree: Any) -> tuple[jax.Array, jax.Array, Any]:
  """The largest size of a number; the norm and the tree of all numbers divided by it.

  The largest cancels out, so no derivative is taken of it. That of the norm of zeros is 0: NaN
  would be that of a clip, too, which keeps them as they are. They count as one unit long.
  """
  kind = jnp.result_type(jnp.float32, *jax.tree.leaves(tree))
  wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, kind), tree)
  sizes = [jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(wide)]
  largest = jax.lax.stop_gradient(jnp.max(jnp.stack(sizes)))
  is_zero = largest < jnp.finfo(kind).tiny  # or so small that its inverse is infinite
  units = jax.tree.map(lambda leaf: leaf / jnp.where(is_zero, 1, largest), wide)
  squares = [jnp.sum(unit**2) for unit in jax.tree.leaves(units)]
  total = jnp.where(is_zero, 1, jnp.sum(jnp.stack(squares)))
  return largest, jnp.sqrt(total), units


all_finite = jax.jit(is_finite)  # for arrays at hand: one program instead of one for each leaf


def path_name(path: Any) -> str:
  """The path of a leaf in its pytree, such as 'conv/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')
