"""Values, similarity and smoothness of images.

Images are float32, NHWC, or HWC for a single one; in [0, 1] where nothing else is said.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def as_floats(stored: Any) -> jax.Array:
  """The images of a pool as a network takes them: uint8 over 255, float32 as they are."""
  if stored.dtype == jnp.uint8:
    return stored.astype(jnp.float32) / 255
  return stored.astype(jnp.float32)


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
  """The structural similarity of each pair of images (Wang et al., 2004).

  The SSIM of dm_pix with its Gaussian filter written as two banded matrix products: under
  `jax.vmap` the convolution of dm_pix would become a grouped one, which is slow on a CPU.

  Args:
    a: float [..., height, width, channels] in [0, 1], of rank 3 or 4, at least 11 pixels
      high and wide.
    b: float images of the shape of `a`.

  Returns:
    The similarities [...], at most 1; 1 for equal images.

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

  import dm_pix  # only now: where it is missing, all but reconstructions runs

  return jnp.asarray(dm_pix.ssim(a, b, filter_fn=blur))


def _gaussian_band(size: int) -> np.ndarray:
  """The matrix that filters a vector of `size` pixels by a Gaussian, without padding."""
  taps = np.exp(-0.5 * ((np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2) / SSIM_SIGMA) ** 2)
  shifts = range(size - SSIM_WINDOW + 1)
  return np.stack([np.pad(taps / taps.sum(), (i, size - SSIM_WINDOW - i)) for i in shifts])


def total_variation(images: jax.Array) -> jax.Array:
  """The mean anisotropic total variation of images (Rudin, Osher and Fatemi, 1992).

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
  """The absolute value, with the derivative 0 at 0.

  That of `jnp.abs` is 1 there, which would pull at the pixels of flat areas.
  """
  return x * jax.lax.stop_gradient(jnp.sign(x))
