"""Convolution as patches and one `dot_general`.

`jax.vmap` turns a convolution whose weights are batched (per-trial parameters, or the
weight cotangents of a per-candidate gradient) into a grouped convolution, which XLA runs
many times slower on a CPU than the same arithmetic as a batched matrix product.
"""

import chex
import jax
import jax.numpy as jnp


def patches(
  images: jax.Array, window: tuple[int, int], *, stride: int = 1, padding: str = 'SAME'
) -> jax.Array:
  """All windows of each image, as the rows of a convolution's matrix product.

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
  pads = jax.lax.padtype_to_pads((height, width), window, (stride, stride), padding)
  padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
  rows, columns = (
    (size - extent) // stride + 1
    for size, extent in zip(padded.shape[1:3], window, strict=True)
  )
  shifted = [
    jax.lax.slice(
      padded,
      (0, i, j, 0),
      (n, i + stride * (rows - 1) + 1, j + stride * (columns - 1) + 1, channels),
      (1, stride, stride, 1),
    )
    for i in range(window[0])
    for j in range(window[1])
  ]
  return jnp.concatenate(shifted, axis=-1)


def convolve(
  images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: str = 'SAME'
) -> jax.Array:
  """The cross-correlation that `jax.lax.conv_general_dilated` calls a convolution.

  Args:
    images: [n, height, width, channels].
    kernel: [window_height, window_width, channels, features].
    stride: step in both directions.
    padding: 'SAME' or 'VALID'.

  Returns:
    [n, out_height, out_width, features].
  """
  chex.assert_rank([images, kernel], 4)
  height, width, _, features = kernel.shape
  rows = patches(images, (height, width), stride=stride, padding=padding)
  return jnp.dot(rows, kernel.reshape(-1, features))
