"""Comparison of a model with outputs that are known, before anything is said of its updates."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.errors import InputError


def check_forward(
  function: Callable[[Any, Any], Any],
  params: Any,
  inputs: Any,
  outputs: Any,
  *,
  tolerance: float = 1e-4,
) -> float:
  """Refuses a model whose outputs are not those of the program that it comes from.

  Weights of PyTorch fit a JAX model of the same shapes that pads, flattens or normalises in
  another way; its gradients are then those of another model.

  Args:
    function: the model, `(params, inputs) -> outputs`, or a loss of a `Batch`.
    params: its parameters.
    inputs: some inputs, as the model takes them: images with channels last, or a `Batch`.
    outputs: the outputs of the other program for them.
    tolerance: the deviation allowed, relative to the largest output but at least absolute.

  Returns:
    The largest deviation, on the scale of `tolerance`.

  Raises:
    InputError: if shapes or outputs differ, or outputs are not finite.
  """
  checks.amount('tolerance', tolerance)
  found, wanted = np.asarray(function(params, inputs)), _array(outputs)
  if found.shape != wanted.shape:
    raise InputError(
      f'the model gives {list(found.shape)}, and outputs are {list(wanted.shape)}'
    )
  if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
    raise InputError('outputs are not finite: there is nothing to compare')
  apart = np.abs(found.astype(np.float64) - wanted)
  scale = max(1.0, float(np.abs(wanted).max(initial=0)))
  deviation = float(apart.max(initial=0)) / scale
  if deviation > tolerance:
    place = [int(i) for i in np.unravel_index(apart.argmax(), apart.shape)]
    raise InputError(
      f'the model is not the one that gave these outputs: they differ by {deviation:.3g} where '
      f'{tolerance:g} is allowed, most at {place} ({found[tuple(place)]:.6g}, expected '
      f"{wanted[tuple(place)]:.6g}). Look at padding and stride (PyTorch's padding=1, stride=2 "
      f"is JAX's [(1, 1), (1, 1)], not 'SAME'), at the order in which images are flattened "
      f'(channels first or last), and at normalisation (its epsilon, its statistics)'
    )
  return deviation


def _array(outputs: Any) -> np.ndarray:
  """The outputs as an array, of PyTorch's tensors as well."""
  detached = outputs.detach().cpu() if hasattr(outputs, 'detach') else outputs
  return np.asarray(jnp.asarray(np.asarray(detached)), np.float64)
