"""Arrays of anybody's become disjoint pools, changed only where it is said, or are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import InputError, from_arrays
from mamljax.data.arrays import FRACTIONS, POOLS, PRIVATE_FRACTIONS

RNG = np.random.default_rng(0)
SHAPES = [(5,), (6, 7), (6, 7, 1), (6, 7, 3), (6, 7, 4), (6, 7, 11)]
LABELS = np.arange(90) % 3


def rows(pool) -> list[bytes]:
  """The examples of a pool, to be compared."""
  return [np.asarray(image).tobytes() for image in pool.images]


def of_class(pool, label) -> np.ndarray:
  """The examples of a class, as the pool has them."""
  start = int(pool.starts[label])
  return np.asarray(pool.images)[start : start + int(pool.counts[label])]


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
def test_pools_are_disjoint_parts_of_what_was_given(shape, dtype):
  """A victim among the references would make the adversary right for the wrong reason."""
  inputs = RNG.integers(0, 256, (90, *shape)).astype(dtype)
  if dtype == 'float32':
    inputs = inputs / np.float32(50) - np.float32(2)
  data = from_arrays(inputs, LABELS)
  pools = [getattr(data, name) for name in POOLS]
  kept = [row for pool in pools for row in rows(pool)]
  assert sorted(kept) == sorted(inputs[i].tobytes() for i in range(90))
  assert [len(pool.images) / 90 for pool in pools] == pytest.approx(FRACTIONS)
  assert data.input_shape == ((*shape, 1) if len(shape) == 2 else shape)
  assert all(pool.images.dtype == dtype for pool in pools)
  by_label = [{row.tobytes() for row in inputs[label == LABELS]} for label in range(3)]
  for pool in pools:
    for label in range(3):
      assert {row.tobytes() for row in of_class(pool, label)} <= by_label[label]


def test_floats_stay_as_they_are_and_their_public_range_is_told():
  """To rescale what ImageNet's normalisation made would audit another model."""
  inputs = RNG.normal(3, 40, (90, 4)).astype('float32')
  data = from_arrays(inputs, LABELS)
  assert data.bounds == (data.references.images.min(), data.references.images.max())
  assert data.notes == ()
  assert from_arrays((255 * RNG.random((90, 4))).astype('uint8'), LABELS).bounds == (0, 1)


@pytest.mark.parametrize(
  ('labels', 'names'),
  [
    (['cat', 'dog', 'ant'] * 30, ('ant', 'cat', 'dog')),
    (np.array(['b', 'a', 'c'] * 30, object), ('a', 'b', 'c')),
    ([True, False, True] * 30, (False, True)),
    ([7, -2, 7] * 30, (-2, 7)),
    (np.array([0.0, 1.0, 5.0] * 30), (0, 1, 5)),
    (jnp.arange(90) % 3, (0, 1, 2)),
    (tuple(LABELS), (0, 1, 2)),
  ],
)
def test_labels_of_any_type_number_classes_in_their_order(labels, names):
  """Every example must be found in the pool's class of its own label."""
  inputs = np.arange(360, dtype='float32').reshape(90, 4)
  data = from_arrays(inputs, labels)
  assert data.classes == names
  for label, name in enumerate(names):
    own = {row.tobytes() for row, given in zip(inputs, labels, strict=True) if given == name}
    assert {row.tobytes() for row in of_class(data.victims, label)} <= own


def test_unbalanced_classes_give_balanced_references_and_say_what_was_left_out():
  """Attacks cut references into equal parts: unequal ones were taken for other classes."""
  labels = np.repeat([0, 1], [20, 70])
  data = from_arrays(RNG.normal(size=(90, 4)).astype('float32'), labels)
  assert data.references.counts.tolist() == [6, 6]
  assert data.victims.counts.tolist() == [10, 35]
  assert '15 references were left out, so that each class has equally many' in repr(data)


def test_the_division_depends_on_the_seed_and_not_on_the_order():
  """The same command must audit the same victims, however a file was shuffled."""
  inputs, order = RNG.normal(size=(90, 4)).astype('float32'), RNG.permutation(90)
  first = from_arrays(inputs, LABELS)
  assert rows(first.victims) == rows(from_arrays(inputs[order], LABELS[order]).victims)
  assert rows(first.victims) != rows(from_arrays(inputs, LABELS, seed=1).victims)


def test_exact_copies_are_in_one_pool_only():
  """A copy among the references would give its victim away."""
  inputs = RNG.normal(size=(90, 4)).astype('float32')
  data = from_arrays(np.concatenate([inputs, inputs[:10]]), np.append(LABELS, LABELS[:10]))
  kept = [row for name in POOLS for row in rows(getattr(data, name))]
  assert len(kept) == len(set(kept)) == 90
  assert '10 exact copies of other examples were left out' in data.notes


def test_public_examples_of_ones_own_are_the_references():
  """Two sources need no division, but a private example that is public is no secret."""
  private, public = RNG.normal(size=(2, 90, 4)).astype('float32')
  mixed = np.concatenate([public, private[:3]])
  names = np.array(['x', 'y', 'z'])[LABELS]
  given = np.append(names, names[:3])
  data = from_arrays(private, names, public=(mixed, given))
  assert sorted(rows(data.references)) == sorted(row.tobytes() for row in mixed)
  hidden = rows(data.calibration) + rows(data.victims)
  assert sorted(hidden) == sorted(row.tobytes() for row in private[3:])
  assert len(data.victims.images) / 87 == pytest.approx(PRIVATE_FRACTIONS[2], abs=0.02)
  assert '3 private examples were public and are left out' in data.notes


def test_public_classes_are_numbered_as_the_private_ones():
  """Else the adversary learns a slot from references of another class."""
  inputs = np.arange(480, dtype='float32').reshape(120, 4)
  labels = np.array(['a', 'b', 'c', 'd'])[np.arange(120) % 4]
  few = np.isin(labels, ['b', 'd'])
  data = from_arrays(inputs[few], labels[few], public=(inputs + 1000, labels))
  assert data.classes == ('b', 'd')
  assert (of_class(data.references, 1)[:, 0] % 16 == 1012 % 16).all()
  assert '60 public examples of other classes were left out' in data.notes


@pytest.mark.parametrize('make', [np.asfortranarray, lambda x: x.astype('>f4'), jnp.asarray])
def test_the_layout_in_memory_does_not_matter(make):
  """The same numbers are the same data."""
  inputs = RNG.normal(size=(90, 4, 5, 2)).astype('float32')
  assert rows(from_arrays(make(inputs), LABELS).victims) == rows(
    from_arrays(inputs, LABELS).victims
  )


@pytest.mark.parametrize('dtype', ['float64', 'float16', 'int64'])
def test_other_numbers_become_float32_and_it_is_said(dtype):
  """Lists of Python's floats are float64; tables hold integers."""
  inputs = RNG.integers(-50, 50, (90, 4)).astype(dtype)
  data = from_arrays(inputs, LABELS)
  assert data.victims.images.dtype == np.float32
  assert f'{dtype} became float32, to rounding' in data.notes
  assert set(rows(data.victims)) <= {row.astype('float32').tobytes() for row in inputs}


def test_lists_are_arrays():
  """A table read by the csv module is a list of lists."""
  data = from_arrays([[i / 7, i * 2.0] for i in range(90)], [i % 3 for i in range(90)])
  assert data.input_shape == (2,)


PICTURES, TABLE = (
  RNG.random((90, 8, 9, 3)).astype('float32'),
  np.ones((90, 4)) * LABELS[:, None],
)
BAD = [
  (np.moveaxis(PICTURES, -1, 1), r"look like channels first: .*channels='first'"),
  (
    np.where(TABLE == 1, np.nan, TABLE),
    r'finite: 120 numbers .*the first of them nan at \[1, 0',
  ),
  ((60000 * PICTURES).astype('uint16'), 'uint16, whose white is not known: divide by 65535'),
  ((255 * PICTURES).astype('int32'), r'int32: give pixels in 0..255 as x.astype\("uint8"\)'),
  (np.rint(255 * PICTURES), 'whole numbers in 0..255 look like pixels .*: divide by 255'),
  ((PICTURES > 0.5).astype('uint8'), '0 and 1 in uint8, in which 255 is white'),
  (1.7e9 + RNG.random((90, 4)), 'feature 0 has a range of .*float32 rounds it'),
  (1e300 * (1 + TABLE), 'finite: 360 numbers are not in float32'),
  ([[1.0, 2.0]] * 89 + [[1.0]], 'inputs are no array'),
  (np.ones(90), r'not \[90\]: reshape\(-1, 1\) makes vectors'),
  (np.array([['a']] * 90), 'must be numbers, not <U1'),
  (np.zeros((90, 0)), r'or vectors \[n, features\], not \[90, 0\]'),
  (1j * TABLE, 'must be numbers, not complex128'),
  (np.zeros((90, 4)), 'all exact copies of examples of other classes'),
]


@pytest.mark.parametrize(('inputs', 'message'), BAD)
def test_what_may_mean_something_else_is_refused(inputs, message):
  """A guess would audit a model on data that it was never given, and call it safe."""
  with pytest.raises(InputError, match=message):
    from_arrays(inputs, LABELS)


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    (LABELS[:89], r'90 inputs need labels \[90\], not \[89\]'),
    (np.eye(90), 'labels.argmax'),
    (LABELS[:, None], 'labels.ravel'),
    (LABELS + 0.5, 'must be classes: 0.5 is no whole number'),
    (np.where(LABELS, np.nan, 0), 'must be classes: nan'),
    (['a', 1, 'b'] * 30, 'of one type, not of numbers and strings'),
    ([True, 2, 3] * 30, 'of one type, not of booleans and numbers'),
    ([None, 'a', 'b'] * 30, 'of one type, not of NoneType and strings'),
    (
      np.minimum(np.arange(90), 5),
      r'class 0 has \d different examples for the .*15 are enough',
    ),
  ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
  """NumPy turns [1, 'a'] into strings and [True, 2] into numbers without a word."""
  with pytest.raises(InputError, match=message):
    from_arrays(RNG.random((90, 4)), labels)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'seed': -1}, 'seed must be 0 or more'),
    ({'channels': 'frist'}, "unknown channels 'frist': did you mean 'first'"),
    ({'public': RNG.random((9, 8, 9, 3))}, r'public must be two arrays: \(inputs, labels\)'),
    ({'public': (RNG.random((9, 8, 8, 3)), LABELS[:9])}, r'must be alike'),
    ({'public': (PICTURES, 1 + LABELS)}, 'public labels lack the class 0'),
    ({'public': (PICTURES, LABELS)}, 'all inputs are among the public inputs'),
  ],
)
def test_options_that_are_none_are_refused(change, message):
  """The message names the value and the right one."""
  with pytest.raises(InputError, match=message):
    from_arrays(PICTURES, LABELS, **change)


def test_channels_are_where_one_says():
  """Eight rows of pixels with three columns are rare, but whoever has them can say so."""
  first = np.moveaxis(PICTURES, -1, 1)
  moved = from_arrays(first, LABELS, channels='first')
  assert rows(moved.victims) == rows(from_arrays(PICTURES, LABELS).victims)
  assert from_arrays(first, LABELS, channels='last').input_shape == (3, 8, 9)
  assert from_arrays(PICTURES[..., 0], LABELS, channels='none').input_shape == (8, 9)
