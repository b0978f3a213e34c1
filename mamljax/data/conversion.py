"""Conversion of colour and size by Pillow, which only the `experiments` extra installs."""

import numpy as np
from PIL import Image

_MODES = {1: 'L', 3: 'RGB'}


def convert(image: Image.Image, *, image_size: int | None, channels: int) -> np.ndarray:
  """An image with a given number of channels and size.

  Grey is ITU-R 601 luma. The image is stretched to a square by Lanczos resampling, with a
  low-pass filter where it shrinks.

  Args:
    image: an image of any mode; transparency is dropped.
    image_size: new height and width in pixels, or None to keep both.
    channels: 1 (grey) or 3 (colour).

  Returns:
    uint8 [height, width, channels].
  """
  image = image.convert(_MODES[channels])
  if image_size is not None and image.size != (image_size, image_size):
    image = image.resize((image_size, image_size), Image.Resampling.LANCZOS)
  return np.asarray(image).reshape(image.height, image.width, channels)


def from_array(image: np.ndarray) -> Image.Image:
  """The Pillow image of an array, uint8 [height, width, 1 or 3]."""
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def convert_all(
  images: np.ndarray, *, image_size: int | None, channels: int | None
) -> np.ndarray:
  """`convert` for an array, uint8 [n, height, width, 1 or 3]; None keeps the channels, too."""
  depth = channels or images.shape[-1]
  return np.stack(
    [convert(from_array(x), image_size=image_size, channels=depth) for x in images]
  )
