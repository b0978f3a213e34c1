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


all_finite = jax.jit(is_finite)  # for arrays at hand: one program instead of one for each leaf


def path_name(path: Any) -> str:
  """The path of a leaf in its pytree, such as 'conv/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')
