"""Divergence, noticed: pytrees whose numbers are not all finite."""

from typing import Any

import jax
import jax.numpy as jnp


def is_finite(tree: Any) -> jax.Array:
  """A boolean scalar: no number of a pytree is infinite or NaN; integers and keys never are."""
  leaves = map(jnp.asarray, jax.tree.leaves(tree))
  fine = [jnp.isfinite(x).all() for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
  return jnp.array(fine).all()
