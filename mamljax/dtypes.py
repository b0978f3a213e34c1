"""Casts that keep parameters in their own type, whatever the type of rates and noise."""

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
