"""Detection of divergence in pytrees."""

from typing import Any

import jax
import jax.numpy as jnp


def is_finite(tree: Any) -> jax.Array:
  """A boolean scalar: True if no number in a pytree is infinite or NaN.

  Leaves that are not floating-point, such as integers and random keys, count as finite.
  """
  leaves = map(jnp.asarray, jax.tree.leaves(tree))
  inexact = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
  return jnp.array([jnp.isfinite(leaf).all() for leaf in inexact]).all()
