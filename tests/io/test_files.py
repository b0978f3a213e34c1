"""Files of other programs fill a pytree by name, shape and order, or are refused by name."""

import gzip
import logging
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import InputError, checkpoints, io

RNG = np.random.default_rng(0)
TREE = {
  'Conv_0': {'kernel': RNG.normal(size=(3, 3, 2, 4)), 'bias': RNG.normal(size=4)},
  'Dense_0': {'kernel': RNG.normal(size=(4, 5)), 'bias': RNG.normal(size=5)},
}
TREE = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), TREE)
LIKE = jax.eval_shape(lambda: TREE)


class Linear(NamedTuple):
  """A layer as Equinox holds it: PyTorch's shapes, a function beside them."""

  weight: jax.Array
  bias: jax.Array
  activation: object = jax.nn.relu


def npz(path, **arrays):
  """A file of arrays."""
  np.savez(path / 'x.npz', **arrays)
  return path / 'x.npz'


@pytest.mark.parametrize('suffix', ['.npz', '.safetensors'])
def test_what_is_saved_is_loaded_bit_for_bit(tmp_path, suffix):
  """Gradients and candidates travel so to another machine."""
  io.save(tmp_path / f'x{suffix}', TREE)
  jax.tree.map(np.testing.assert_array_equal, io.load(tmp_path / f'x{suffix}', like=LIKE), TREE)
  mixed = {'a': np.arange(3), 'b': np.ones((2, 0)), 'c': np.array(1.5), 'd': np.array([True])}
  io.save(tmp_path / f'y{suffix}', mixed)
  for name, array in io.load_arrays(tmp_path / f'y{suffix}').items():
    assert array.dtype == mixed[name].dtype
    np.testing.assert_array_equal(array, mixed[name])


def test_narrow_floats_are_widened(tmp_path):
  """NumPy has no bfloat16, in which many weights are published."""
  from safetensors.flax import save_file

  array = jnp.asarray(RNG.normal(size=5), jnp.bfloat16)
  save_file({'w': array}, tmp_path / 'x.safetensors')
  found = io.load_arrays(tmp_path / 'x.safetensors')['w']
  np.testing.assert_array_equal(found, np.asarray(array, np.float32))


def torch_like():
  """The arrays of `TREE` as PyTorch has them."""
  return {
    'conv.weight': np.moveaxis(np.asarray(TREE['Conv_0']['kernel']), (3, 2), (0, 1)),
    'conv.bias': np.asarray(TREE['Conv_0']['bias']),
    'head.weight': np.asarray(TREE['Dense_0']['kernel']).T,
    'head.bias': np.asarray(TREE['Dense_0']['bias']),
  }


def test_shapes_and_layout_match_what_names_do_not(tmp_path, caplog):
  """Nobody names layers alike; the map must be there to be looked at."""
  path = npz(tmp_path, **torch_like())
  with caplog.at_level(logging.INFO):
    found = io.load(path, like=LIKE, layout='torch')
  jax.tree.map(np.testing.assert_array_equal, found, TREE)
  assert 'Dense_0/kernel <- head.weight (transposed)' in caplog.text
  assert str(io.plan(path, like=LIKE, layout='torch')) in caplog.text


def test_flax_collection_and_running_statistics_are_no_obstacle(tmp_path):
  """A file has what the gradient has not."""
  named = {f'params.{name}': x for name, x in flat(TREE).items()}
  path = npz(tmp_path, **named, **{'bn.running_mean': np.ones(7)})
  jax.tree.map(np.testing.assert_array_equal, io.load(path, like=LIKE), TREE)
  assert io.plan(path, like={'params': LIKE}).unused == ('bn.running_mean',)


def flat(tree):
  """Arrays by name."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(p, simple=True, separator='.'): np.asarray(x) for p, x in leaves}


def test_layers_that_keep_the_layout_of_pytorch_are_not_transposed(tmp_path):
  """Equinox: weights [out, in], biases [channels, 1, 1]; square ones, too."""
  layers = [
    Linear(jnp.ones((4, 4)), jnp.zeros((4, 1, 1))),
    Linear(jnp.ones((4, 4)), jnp.zeros((4, 1, 1))),
  ]
  arrays = {f'{i}.{n}': RNG.normal(size=s).astype('float32') for i in range(2) for n, s in
            (('weight', (4, 4)), ('bias', 4))}  # fmt: skip
  found = io.load(npz(tmp_path, **arrays), like=layers, layout='torch')
  for i in range(2):
    np.testing.assert_array_equal(found[i].weight, arrays[f'{i}.weight'])
    np.testing.assert_array_equal(found[i].bias.ravel(), arrays[f'{i}.bias'])
    assert found[i].activation is jax.nn.relu


def test_numbers_order_layers_of_one_shape(tmp_path):
  """conv10 comes after conv2, whatever the alphabet says."""
  like = {f'Dense_{i}': {'kernel': jnp.ones((3, 3))} for i in range(12)}
  arrays = {f'layer{i + 1}.weight': np.full((3, 3), i, 'float32') for i in range(12)}
  io.save(tmp_path / 'x.safetensors', arrays)
  found = io.load(tmp_path / 'x.safetensors', like=like, layout='torch')
  assert [float(found[f'Dense_{i}']['kernel'].mean()) for i in range(12)] == [*range(12)]


def test_several_matches_are_refused_until_names_are_given(tmp_path):
  """An encoder's weights in the decoder fit, and are nonsense."""
  like = {'decoder': {'kernel': jnp.ones((3, 3))}, 'encoder': {'kernel': jnp.ones((3, 3))}}
  path = npz(tmp_path, **{'a.weight': np.eye(3), 'b.weight': np.ones((3, 3))})
  with pytest.raises(
    InputError, match=r'a.weight, b.weight all have the shape of decoder/kern'
  ):
    io.load(path, like=like, layout='torch')
  names = {'encoder/kernel': 'a.weight', 'decoder/kernel': 'b.weight'}
  found = io.load(path, like=like, layout='torch', names=names)
  np.testing.assert_array_equal(found['encoder']['kernel'], np.eye(3))


@pytest.mark.parametrize(
  ('change', 'options', 'message'),
  [
    ({'head.bias': np.ones(6)}, {'layout': 'torch'}, r'for Dense_0/bias of shape \[5\]'),
    (
      {'more.weight': np.ones((9, 9))},
      {'layout': 'torch'},
      'more.weight would be of the shape',
    ),
    ({}, {}, "give layout='torch' if PyTorch's weights"),
    ({}, {'layout': 'jax'}, 'file does not fit'),
    ({}, {'layout': 'pytorch'}, "unknown layout 'pytorch': did you mean 'torch'"),
    ({}, {'layout': 'torch', 'names': {'Dense0/bias': 'x'}}, "did you mean 'Dense_0/bias'"),
    ({}, {'layout': 'torch', 'names': {'Dense_0/bias': 'head.bia'}}, "mean 'head.bias'"),
    ({'head.bias': np.array(['a'] * 5)}, {'layout': 'torch'}, 'not of numbers'),
  ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, options, message):
  """The message names the leaf or the array, and the right value."""
  path = npz(tmp_path, **(torch_like() | change))
  with pytest.raises(InputError, match=message):
    io.load(path, like=LIKE, **options)


FOREIGN = {
  'npz': (lambda p: np.savez(p, a=np.ones(2)), 'a NumPy archive .* read by mamljax.io.load'),
  'npy': (lambda p: np.save(p, np.ones(2)), 'a single NumPy array .* read by numpy.load'),
  'safetensors': (
    lambda p: io.save(p, {'a': np.ones(2)}),
    'a safetensors file, read by mamljax.io.load',
  ),
  'pkl': (lambda p: p.write_bytes(pickle.dumps({'a': 1})), 'a pickle'),
  'gz': (lambda p: p.write_bytes(gzip.compress(b'a')), 'compressed by gzip'),
  'h5': (lambda p: p.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(64)), 'HDF5'),
}


@pytest.mark.parametrize('suffix', FOREIGN)
def test_a_checkpoint_of_another_program_is_told_by_its_kind(tmp_path, suffix):
  """It was called damaged, and its owner looked for another copy."""
  write, message = FOREIGN[suffix]
  write(tmp_path / f'x.{suffix}')
  with pytest.raises(InputError, match=message):
    checkpoints.load(tmp_path / f'x.{suffix}', {})
  if suffix not in ('npz', 'safetensors'):
    with pytest.raises(InputError, match=f'cannot read arrays .*{message}'):
      io.load_arrays(tmp_path / f'x.{suffix}')


def test_what_no_file_holds_is_not_written(tmp_path):
  """An ending that nobody reads, or a leaf that is no number."""
  with pytest.raises(InputError, match=r"'\.safetensor': did you mean '\.safetensors'"):
    io.save(tmp_path / 'x.safetensor', TREE)
  with pytest.raises(InputError, match='a is <U1, not an array of numbers'):
    io.save(tmp_path / 'x.npz', {'a': 'b'})
  assert not [*tmp_path.iterdir()]
  with pytest.raises(InputError, match='No such file'):
    io.load_arrays(tmp_path / 'x.npz')
  (tmp_path / 'x.npz').write_bytes(b'PK\3\4')
  with pytest.raises(InputError, match='a zip archive without arrays'):
    io.load_arrays(tmp_path / 'x.npz')
  (tmp_path / 'x.safetensors').write_bytes(b'\x20' + bytes(7) + b'{' + bytes(9))
  with pytest.raises(InputError, match='as safetensors'):
    io.load_arrays(tmp_path / 'x.safetensors')
