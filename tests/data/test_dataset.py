"""The order of a data set, its pools, and what is refused as one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mamljax.data import Dataset, make_dataset, split_dataset
from mamljax.errors import InputError
from mamljax.types import Pool


def random_dataset(counts: list[int]) -> Dataset:
  """Different 4 x 4 images, so many of each class."""
  images = np.random.default_rng(1).integers(0, 256, (sum(counts), 4, 4, 1), np.uint8)
  return make_dataset('random', images, np.repeat(np.arange(len(counts)), counts))


def contents(images: np.ndarray) -> list[bytes]:
  """The images' bytes."""
  return [image.tobytes() for image in images]


def pool_labels(pool: Pool) -> np.ndarray:
  """The class of each row of a pool, by its starts and counts."""
  rows = np.arange(len(pool.images))[:, None]
  inside = (rows >= pool.starts) & (rows < np.asarray(pool.starts) + pool.counts)
  assert (inside.sum(axis=1) == 1).all()
  return inside.argmax(axis=1)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(12)))
def test_order_does_not_depend_on_the_source(order: list[int]):
  """Else an experiment on data that TFDS shuffled anew would be another experiment."""
  images = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3), np.uint8)
  labels = np.arange(12) % 3
  images[3] = images[0]  # an exact copy in the same class
  images[7] = images[2]  # and one in another
  one, other = (
    make_dataset('a', images, labels),
    make_dataset('a', images[order], labels[order]),
  )
  np.testing.assert_array_equal(one.images, other.images)
  np.testing.assert_array_equal(one.labels, other.labels)


def test_every_image_keeps_its_class():
  """Else sorting has separated images from labels."""
  images = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
  labels = np.random.default_rng(0).integers(0, 5, 256)
  dataset = make_dataset('a', images, labels)
  assert (np.diff(dataset.labels) >= 0).all()
  assert dataset.labels.dtype == np.int32
  np.testing.assert_array_equal(labels[dataset.images.ravel()], dataset.labels)
  np.testing.assert_array_equal(dataset.counts, np.bincount(labels))
  assert dataset.num_classes == 5


def test_order_within_a_class_is_not_that_of_pixels_or_source():
  """Else a pool would be a biased part of its class."""
  dataset = make_dataset(
    'a', np.arange(256, dtype=np.uint8).reshape(256, 1, 1), np.zeros(256, int)
  )
  assert abs(np.corrcoef(dataset.images.ravel(), np.arange(256))[0, 1]) < 0.2


def test_copies_are_dropped_and_counted():
  """Else one image could be a reference and a victim, and an attack would seem to work."""
  images = np.array([[[1]], [[2]], [[1]], [[2]], [[3]]], np.uint8)
  dataset = make_dataset('a', images, np.array([0, 1, 0, 0, 1]))
  assert dataset.duplicates == 2
  assert sorted(dataset.images.ravel()) == [1, 2, 3]
  np.testing.assert_array_equal(dataset.labels, [0, 0, 1])  # the lowest label of image 2


def test_a_class_that_is_all_copies_is_told():
  """Of two classes "has only 1 classes" was said, and not why."""
  images = np.array([[[7]], [[8]], [[7]], [[8]], [[9]]], np.uint8)
  dataset = make_dataset('a', images, np.array([2, 2, 5, 5, 2]))
  assert dataset.num_classes == 1
  assert dataset.classes.tolist() == [2]
  assert dataset.left_out() == (
    ' (exact copies of other images were left out: 2, all of class 5)'
  )
  assert make_dataset('a', images[:2], np.array([2, 5])).left_out() == ''


def test_labels_without_images_are_closed_up():
  """Else a task could draw a class that has no images (EMNIST's letters start at 1)."""
  dataset = make_dataset(
    'a', np.arange(4, dtype=np.uint8).reshape(4, 1, 1), np.array([7, 3, 3, 40])
  )
  np.testing.assert_array_equal(dataset.counts, [2, 1, 1])
  assert dataset.images.ravel()[2] == 0  # of label 7, now 1


def test_a_dataset_cannot_be_changed():
  """Else one cell of a sweep could change the images of the next."""
  dataset = random_dataset([3])
  with pytest.raises(ValueError, match='read-only'):
    dataset.images[0] = 0


@pytest.mark.parametrize('dtype', [np.int64, np.uint16, np.float32, np.float64])
def test_pixels_of_other_types_are_the_same_image(dtype: type):
  """Else a user's file would lose its last bit, or its scale."""
  images = np.arange(256).reshape(1, 16, 16)
  scaled = (images / 255 if np.issubdtype(dtype, np.floating) else images).astype(dtype)
  dataset = make_dataset('a', scaled, np.array([0]))
  assert dataset.images.shape == (1, 16, 16, 1)
  np.testing.assert_array_equal(dataset.images[0, ..., 0], images[0])


GOOD_IMAGES, GOOD_LABELS = np.zeros((2, 4, 4)), np.zeros(2, int)


@pytest.mark.parametrize(
  ('images', 'labels', 'message'),
  [
    (np.full((2, 4, 4), np.nan), GOOD_LABELS, '32 pixels are outside 0..1, .* first is nan'),
    (GOOD_IMAGES - 1e-3, GOOD_LABELS, 'outside 0..1'),
    (GOOD_IMAGES + 255, GOOD_LABELS, 'outside 0..1, as float64 must be; the first is 255'),
    (np.full((2, 4, 4), np.inf), GOOD_LABELS, 'outside'),
    (np.eye(2, dtype=np.uint8).reshape(2, 2, 1), GOOD_LABELS, 'pixels are 0 and 1 in uint8'),
    (np.eye(2, dtype=int).reshape(2, 2, 1), GOOD_LABELS, 'pixels are 0 and 1 in int64'),
    (np.full((2, 4, 4), 256), GOOD_LABELS, 'outside 0..255'),
    (np.full((2, 4, 4), -1), GOOD_LABELS, 'outside 0..255'),
    (np.zeros((2, 4, 4), bool), GOOD_LABELS, 'numbers, not bool'),
    (np.zeros((2, 4, 4), complex), GOOD_LABELS, 'numbers, not complex'),
    (np.full((2, 4, 4), 'x'), GOOD_LABELS, 'numbers, not <U1'),
    (np.zeros((2, 16)), GOOD_LABELS, r'not \[2, 16\]'),
    (np.zeros((2, 3, 32, 32)), GOOD_LABELS, r'not \[2, 3, 32, 32\]'),
    (np.zeros((0, 4, 4)), np.zeros(0, int), r'not \[0, 4, 4, 1\]'),
    (GOOD_IMAGES, np.zeros(3, int), r'2 images need labels \[2\], not \[3\]'),
    (GOOD_IMAGES, np.zeros(1, int), r'not \[1\]'),
    (GOOD_IMAGES, np.zeros((2, 10), int), r'not \[2, 10\]'),
    (GOOD_IMAGES, np.zeros(2), 'integers, not float64'),
    (GOOD_IMAGES, np.array([0, -1]), '0 or more, found -1'),
  ],
)
def test_bad_content_is_refused(images: np.ndarray, labels: np.ndarray, message: str):
  """Else a mistake in a file shows only as a strange result, hours later."""
  with pytest.raises(InputError, match=f'^mine: .*{message}'):
    make_dataset('mine', images, labels)


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 2**40))
def test_pools_share_no_image_and_lose_none(counts: list[int], seed: int):
  """Else the adversary's references or the threshold could contain the attacked images."""
  dataset = random_dataset(counts)
  pools = split_dataset(dataset, seed=seed)
  everything = [content for pool in pools for content in contents(np.asarray(pool.images))]
  assert len(set(everything)) == len(everything)
  assert set(everything) == set(contents(dataset.images))


def test_pools_hold_their_fractions_of_every_class():
  """Else a pool would be short of some class, or a row would pass for another class."""
  dataset = random_dataset([200, 100, 20])
  pools = split_dataset(dataset, seed=3)
  truth = dict(zip(contents(dataset.images), dataset.labels.tolist(), strict=True))
  expected = [[80, 40, 8], [40, 20, 4], [30, 15, 3], [50, 25, 5]]
  for pool, counts in zip(pools, expected, strict=True):
    np.testing.assert_array_equal(pool.counts, counts)
    assert [truth[x] for x in contents(np.asarray(pool.images))] == pool_labels(pool).tolist()


def test_seed_fixes_the_pools():
  """Else results could not be repeated; and with one division there is no error bar."""
  dataset = random_dataset([40, 40])
  one, again, other = (split_dataset(dataset, seed=seed).victims for seed in (5, 5, 6))
  np.testing.assert_array_equal(one.images, again.images)
  assert set(contents(np.asarray(one.images))) != set(contents(np.asarray(other.images)))


def test_pools_are_those_of_every_release():
  """Else published numbers could not be reproduced with a later version or another NumPy."""
  images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1)
  victims = split_dataset(make_dataset('a', images, np.zeros(12, int)), seed=0).victims
  assert np.asarray(victims.images).ravel().tolist() == [11, 8, 6]


def test_pools_of_a_class_do_not_depend_on_the_other_classes():
  """Else leaving out a class would draw all the others anew."""
  both = random_dataset([30, 30])
  alone = make_dataset('a', both.images[:30], both.labels[:30])
  for small, large in zip(
    split_dataset(alone, seed=1), split_dataset(both, seed=1), strict=True
  ):
    np.testing.assert_array_equal(small.images, large.images[: len(small.images)])


@pytest.mark.parametrize('fractions', [(0.5, 0.5), (0.5, 0.5, 0.5, 0.5), (-0.1, 0.5, 0.3, 0.3)])
def test_impossible_fractions_are_refused(fractions: tuple[float, ...]):
  """Else pools would overlap or be missing."""
  with pytest.raises(InputError, match='fractions must be 4'):
    split_dataset(random_dataset([9]), seed=0, fractions=fractions)


def test_negative_seed_is_refused():
  """Else it ends in a traceback of NumPy's."""
  with pytest.raises(InputError, match='seed must be 0 or more, not -1'):
    split_dataset(random_dataset([9]), seed=-1)
