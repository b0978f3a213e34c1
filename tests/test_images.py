"""SSIM is everyone's SSIM, and total variation is what equation 9 means by it."""

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from mamljax.data import load_dataset
from mamljax.images import ssim, total_variation

SHAPES = [(11, 11, 1), (16, 23, 1), (28, 28, 1), (32, 32, 3)]


def scikit_image(a, b):
  """The settings with which scikit-image follows Wang et al."""
  return structural_similarity(
    np.asarray(a, np.float64),
    np.asarray(b, np.float64),
    gaussian_weights=True,
    sigma=1.5,
    use_sample_covariance=False,
    data_range=1,
    channel_axis=-1,
  )


def noise_pairs(shape) -> tuple[np.ndarray, np.ndarray]:
  """Unrelated noise, slightly changed noise, and flat against noise."""
  rng = np.random.default_rng(0)
  noise = rng.uniform(size=(5, *shape)).astype(np.float32)
  nearly = np.clip(noise[0] + rng.normal(size=shape) * 0.1, 0, 1).astype(np.float32)
  flat = np.full(shape, 0.5, np.float32)
  return np.stack([noise[1], noise[0], noise[2]]), np.stack([noise[3], nearly, flat])


def real_pairs() -> tuple[np.ndarray, np.ndarray]:
  """Digits against digits of their class, and against what an attack may make of them."""
  images = load_dataset('mnist_sample').images[:400:20].astype(np.float32) / 255
  rng = np.random.default_rng(1)
  attacked = np.clip(images + rng.normal(size=images.shape) * 0.05, 0, 1).astype(np.float32)
  return np.concatenate([images, images]), np.concatenate(
    [np.roll(images, 1, axis=0), attacked]
  )


PAIRS = {str(shape): noise_pairs(shape) for shape in SHAPES} | {'digits': real_pairs()}


@jax.jit
def measure(a, b):
  """Our SSIM, the same with the images exchanged, of equal images, and dm_pix's own."""
  return ssim(a, b), ssim(b, a), ssim(a, a), dm_pix.ssim(a, b)


@pytest.mark.parametrize(('a', 'b'), PAIRS.values(), ids=PAIRS)
def test_ssim_is_scikit_images_and_dm_pixs(a, b):
  """Else scores are not comparable with the literature's."""
  found, _, _, dm_pixs = measure(a, b)
  expected = [scikit_image(x, y) for x, y in zip(a, b, strict=True)]
  np.testing.assert_allclose(found, expected, atol=1e-6)
  np.testing.assert_allclose(found, dm_pixs, atol=1e-6)


@pytest.mark.parametrize(('a', 'b'), PAIRS.values(), ids=PAIRS)
def test_ssim_is_symmetric_and_one_for_equals(a, b):
  """Else an untouched candidate, the perfect member, would not score highest."""
  found, exchanged, of_equals, _ = measure(a, b)
  np.testing.assert_allclose(found, exchanged, atol=1e-6)
  np.testing.assert_allclose(of_equals, 1, atol=1e-6)
  assert (found < 1).all()


def test_ssim_of_one_image_or_many():
  """A trial in a vmap, and a batch, must score what the image alone scores."""
  a, b = map(jnp.asarray, PAIRS['(28, 28, 1)'])
  together, mapped, alone = jax.jit(
    lambda a, b: (
      ssim(a, b),
      jax.vmap(ssim)(a, b),
      jnp.stack([ssim(*x) for x in zip(a, b, strict=True)]),
    )
  )(a, b)
  assert alone.shape == (len(a),)
  np.testing.assert_allclose(together, alone, atol=1e-6)
  np.testing.assert_allclose(mapped, alone, atol=1e-6)


@pytest.mark.parametrize('shape', [(10, 28, 1), (28, 10, 1), (2, 8, 8, 3)])
def test_ssim_refuses_images_smaller_than_its_window(shape):
  """Else the score is the mean over no windows: NaN."""
  with pytest.raises(ValueError, match=f'11 x 11 pixels, not {shape[-3]} x {shape[-2]}'):
    ssim(jnp.zeros(shape), jnp.zeros(shape))


@pytest.mark.parametrize('shape', [(3, 4, 5, 2), (6, 4, 1)])
def test_total_variation_by_a_loop(shape):
  """Anisotropic, and a mean: a sum would change with the size of the image."""
  images = np.random.default_rng(3).uniform(size=shape).astype(np.float32)
  down, across = [], []
  for image in images.reshape(-1, *shape[-3:]):
    for i, j, c in np.ndindex(image.shape):
      down += [abs(image[i, j, c] - image[i - 1, j, c])] if i else []
      across += [abs(image[i, j, c] - image[i, j - 1, c])] if j else []
  np.testing.assert_allclose(
    total_variation(images), np.mean(down) + np.mean(across), rtol=1e-6
  )


@pytest.mark.parametrize(
  ('image', 'expected'),
  [
    (np.full((4, 5, 1), 0.3), 0),
    (np.indices((4, 5)).sum(0)[..., None] % 2, 2),
    (np.tile(np.arange(5.0) / 4, (4, 1))[..., None], 0.25),
    (np.stack([np.zeros((4, 4)), np.ones((4, 4))], axis=-1), 0),
  ],
  ids=['constant', 'checkerboard', 'ramp', 'flat colour'],
)
def test_total_variation_of_known_images(image, expected):
  """A constant has none, a checkerboard all there is, and channels are no neighbours."""
  np.testing.assert_allclose(total_variation(jnp.asarray(image, float)), expected, rtol=1e-6)


def test_a_flat_image_is_pulled_nowhere():
  """jax.grad(jnp.abs)(0.0) is 1: with it, every flat patch would be dragged to one side."""
  slope = jax.jit(jax.grad(total_variation))(jnp.full((4, 5, 1), 0.3))
  np.testing.assert_array_equal(slope, np.zeros((4, 5, 1)))


def test_a_mirrored_image_is_pulled_in_mirror_image():
  """Else a digit's left edge would be smoothed more than its right one."""
  digit = PAIRS['digits'][0][0]
  slope = jax.jit(jax.grad(total_variation))
  for axis in (0, 1):
    expected = np.flip(slope(digit), axis)
    np.testing.assert_allclose(slope(np.flip(digit, axis)), expected, atol=1e-7)
