"""Convolution in two forms: XLA's own, and one matrix product with the patches of the images.

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
