"""Numbers in the type of the arrays that they act on: a rate never changes a parameter's."""

from typing import Any

import jax
import jax.numpy as jnp


def like(leaf: Any, number: Any) -> jax.Array:
  """The number, or array, in the type of the leaf, as a Python number would be taken.

  JAX promotes what an array of another type is added to or multiplied by: bfloat16 parameters
  would become float32 by a float32 rate, float32 ones float64 by NumPy's in double precision.
  """
  return jnp.asarray(number, jnp.result_type(leaf))
