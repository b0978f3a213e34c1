"""Similarity and smoothness of images.

Images are float32 in [0, 1], NHWC, or HWC for a single one.
"""

from typing import Any

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
  """The structural similarity of each pair of images (Wang et al., 2004).

  dm_pix's SSIM with its Gaussian filter written as two banded matrix products, which
  `jax.vmap` keeps fast where it makes dm_pix's own convolution slow.

  Args:
    a: float [..., height, width, channels] in [0, 1], of rank 3 or 4, at least 11 pixels
      high and wide.
    b: the same shape.

  Returns:
    [...], 1 for equal images.

  Raises:
    ValueError: if the images are smaller than the filter's window.
  """
  height, width = a.shape[-3:-1]
  if min(height, width) < SSIM_WINDOW:
    raise ValueError(f'SSIM needs images of at least 11 x 11 pixels, not {height} x {width}')
  rows, columns = _gaussian_band(height), _gaussian_band(width)

  def blur(image: Any) -> Any:
    return jnp.einsum(
      'yh,xw,...hwc->...yxc', rows, columns, image, precision=jax.lax.Precision.HIGHEST
    )

  return jnp.asarray(dm_pix.ssim(a, b, filter_fn=blur))


def _gaussian_band(size: int) -> np.ndarray:
  """The matrix whose product with a column is its 'valid' Gaussian filtering."""
  taps = np.exp(-0.5 * ((np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2) / SSIM_SIGMA) ** 2)
  shifts = range(size - SSIM_WINDOW + 1)
  return np.stack([np.pad(taps / taps.sum(), (i, size - SSIM_WINDOW - i)) for i in shifts])


def total_variation(images: jax.Array) -> jax.Array:
  """The anisotropic total variation (Rudin, Osher and Fatemi, 1992), as a mean.

  Args:
    images: [..., height, width, channels].

  Returns:
    A scalar: the mean absolute difference of vertical neighbours plus that of horizontal
    neighbours.
  """
  vertical = _magnitude(jnp.diff(images, axis=-3)).mean()
  horizontal = _magnitude(jnp.diff(images, axis=-2)).mean()
  return vertical + horizontal


def _magnitude(x: jax.Array) -> jax.Array:
  """|x| with the derivative 0 at 0; that of `jnp.abs` is 1, which drags flat patches about."""
  return x * jax.lax.stop_gradient(jnp.sign(x))
