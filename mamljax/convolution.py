"""Convolution in two forms: XLA's own, and one matrix product with the patches of the images.

`jax.vmap` turns a convolution whose weights are batched (per-trial parameters, or the
weight cotangents of a per-candidate gradient) into a grouped convolution, which XLA runs
many times slower on a CPU than the same arithmetic as a batched matrix product.
"""

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

FORMS = ('auto', 'patches', 'xla')


def patches(
  images: jax.Array, window: tuple[int, int], *, stride: int = 1, padding: str = 'SAME'
) -> jax.Array:
  """The patches of each image under a window, as rows of a convolution's matrix product.

  Columns are gathered first, then rows, with an optimization barrier before each. Without the
  barriers XLA fuses the gathering with the computation of the pixels, and repeats that, with
  all its derivatives of activations, for each of the nine places of a pixel in a 3 x 3 window.

  Args:
    images: [n, height, width, channels].
    window: height and width of the window, in pixels.
    stride: step of the window in both directions, in pixels.
    padding: 'SAME' or 'VALID', as in `jax.lax.conv_general_dilated`.

  Returns:
    [n, out_height, out_width, window_height * window_width * channels], the last axis in
    the order of a flattened [window_height, window_width, channels] kernel.
  """
  n, height, width, channels = images.shape
  top, bottom, rows = _span(height, window[0], stride, padding)
  left, right, columns = _span(width, window[1], stride, padding)
  images = jax.lax.optimization_barrier(images)
  # A negative edge crops: pixels behind the last window.
  edges = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
  padded = jax.lax.pad(images, jnp.zeros((), images.dtype), edges)
  # The pixels of one stride become channels, so that every shift is a plain slice.
  strides = padded.reshape(n, padded.shape[1], -1, stride * channels)
  shifts = [
    strides[:, :, at // stride : at // stride + columns, : (window[1] - at) * channels]
    for at in range(0, window[1], stride)
  ]
  across = jax.lax.optimization_barrier(jnp.concatenate(shifts, axis=-1))
  across = across.reshape(n, -1, stride, *across.shape[2:])
  shifts = [
    across[:, at // stride : at // stride + rows, at % stride] for at in range(window[0])
  ]
  return jnp.concatenate(shifts, axis=-1)


def windows(
  images: jax.Array,
  window: Sequence[int],
  *,
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  spread: Sequence[int],
  dilation: Sequence[int],
) -> jax.Array:
  """Pixels under a window of any kind, along any number of axes; exact, since none are added.

  Args:
    images: [n, *sizes, channels].
    window: sizes of the window.
    strides: its steps.
    padding: zeros before and after each axis; negative to crop.
    spread: distance at which the pixels are put, with zeros between them, 1 for none: the
      `lhs_dilation` of `jax.lax.conv_general_dilated`.
    dilation: distance of the pixels under the window: its `rhs_dilation`.

  Returns:
    [n, *places, pixels of the window, channels].
  """
  edges = [(before, after, by - 1) for (before, after), by in zip(padding, spread, strict=True)]
  zero = jnp.zeros((), images.dtype)
  padded = jax.lax.pad(images, zero, [(0, 0, 0), *edges, (0, 0, 0)])
  extents = [(size - 1) * by + 1 for size, by in zip(window, dilation, strict=True)]
  triples = zip(padded.shape[1:-1], extents, strides, strict=True)
  places = [max(0, (size - extent) // step + 1) for size, extent, step in triples]
  n, channels = images.shape[0], images.shape[-1]
  if not math.prod(places):
    return jnp.zeros((n, *places, math.prod(window), channels), images.dtype)
  reach = [(count - 1) * step + 1 for count, step in zip(places, strides, strict=True)]
  shifts = []
  for at in np.ndindex(*window):
    start = [0, *(a * by for a, by in zip(at, dilation, strict=True)), 0]
    sizes = [n, *reach, channels]
    limit = [a + size for a, size in zip(start, sizes, strict=True)]
    shifts.append(jax.lax.slice(padded, start, limit, [1, *strides, 1]))
  return jnp.stack(shifts, axis=-2)


def _span(size: int, extent: int, stride: int, padding: str) -> tuple[int, int, int]:
  """The padding before and after an axis, to whole strides, and its number of windows."""
  ((before, after),) = jax.lax.padtype_to_pads((size,), (extent,), (stride,), padding)
  windows = (size + before + after - extent) // stride + 1
  padded = stride * (windows + (extent - 1) // stride)
  return before, padded - size - before, windows


def convolve(
  images: jax.Array,
  kernel: jax.Array,
  *,
  stride: int = 1,
  padding: str = 'SAME',
  form: str = 'auto',
  precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> jax.Array:
  """The convolution of neural networks, a cross-correlation, as in `jax.lax.conv`.

  Args:
    images: [n, height, width, channels].
    kernel: [window_height, window_width, channels, features].
    stride: step of the window in both directions, in pixels.
    padding: 'SAME' or 'VALID'.
    form: 'patches', 'xla', or 'auto' for `best_form()`; results agree to rounding.
    precision: precision of the products, on accelerators that have several.

  Returns:
    [n, out_height, out_width, features].
  """
  chex.assert_rank([images, kernel], 4)
  form = best_form() if form == 'auto' else form
  if form == 'xla':
    layout = ('NHWC', 'HWIO', 'NHWC')
    return jax.lax.conv_general_dilated(
      images, kernel, (stride, stride), padding, dimension_numbers=layout, precision=precision
    )
  height, width, _, features = kernel.shape
  rows = patches(images, (height, width), stride=stride, padding=padding)
  return jnp.dot(rows, kernel.reshape(-1, features), precision=precision)


def best_form() -> str:
  """The faster form on the default backend: 'patches' on a CPU, 'xla' elsewhere."""
  return 'patches' if jax.default_backend() == 'cpu' else 'xla'
