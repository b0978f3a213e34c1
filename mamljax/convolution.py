"""Convolution in two forms: XLA's own, and patches with one `dot_general`.

`jax.vmap` turns a convolution whose weights are batched (per-trial parameters, or the
weight cotangents of a per-candidate gradient) into a grouped convolution, which XLA runs
many times slower on a CPU than the same arithmetic as a batched matrix product.
"""

import chex
import jax
import jax.numpy as jnp

FORMS = ('auto', 'patches', 'xla')


def patches(
  images: jax.Array, window: tuple[int, int], *, stride: int = 1, padding: str = 'SAME'
) -> jax.Array:
  """All windows of each image, as the rows of a convolution's matrix product.

  Columns are gathered first, then rows, with a fence before each. Gathered at once, XLA
  recomputes for each of the nine places what led to a pixel, derivatives of activations
  among it, which a support attack on a smooth network has many of.

  Args:
    images: [n, height, width, channels].
    window: height and width of the window.
    stride: step of the window in both directions.
    padding: 'SAME' or 'VALID', as in `jax.lax.conv_general_dilated`.

  Returns:
    [n, out_height, out_width, window_height * window_width * channels], the last axis in
    the order of a flattened [window_height, window_width, channels] kernel.
  """
  n, height, width, channels = images.shape
  top, bottom, rows = _span(height, window[0], stride, padding)
  left, right, columns = _span(width, window[1], stride, padding)
  fenced = jax.lax.optimization_barrier(images)
  edges = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
  padded = jax.lax.pad(fenced, jnp.zeros((), images.dtype), edges)  # negative ones crop
  # The pixels of a stride lie side by side, so that a shift is a plain slice.
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


def _span(size: int, extent: int, stride: int, padding: str) -> tuple[int, int, int]:
  """The padding before and after an axis, to whole strides, and its number of windows."""
  ((before, after),) = jax.lax.padtype_to_pads((size,), (extent,), (stride,), padding)
  count = (size + before + after - extent) // stride + 1
  whole = stride * (count + (extent - 1) // stride)
  return before, whole - size - before, count


def convolve(
  images: jax.Array,
  kernel: jax.Array,
  *,
  stride: int = 1,
  padding: str = 'SAME',
  form: str = 'auto',
  precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> jax.Array:
  """The cross-correlation that `jax.lax.conv_general_dilated` calls a convolution.

  Args:
    images: [n, height, width, channels].
    kernel: [window_height, window_width, channels, features].
    stride: step in both directions.
    padding: 'SAME' or 'VALID'.
    form: 'patches', 'xla', or 'auto' for `best_form()`. The same to rounding.
    precision: of the products, on accelerators that have several.

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
  """'patches' on a CPU, 'xla' on any other backend that JAX runs on."""
  return 'patches' if jax.default_backend() == 'cpu' else 'xla'
