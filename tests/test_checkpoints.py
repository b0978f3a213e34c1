"""Parameters come back bit for bit, or the file is called damaged: nothing in between."""

import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from mamljax import atomic, checkpoints
from mamljax.atomic import DamagedFile, ForeignFile
from mamljax.errors import InputError

PARAMS = {
  'dense': {'kernel': jnp.array([[1 / 3, -0.0], [jnp.inf, 1e-45]]), 'bias': jnp.arange(2.0)},
  'scale': [jnp.bfloat16(0.1), jnp.int32(7)],
}


def saved(folder, params=PARAMS):
  path = folder / 'epoch_5.msgpack'
  checkpoints.save(path, params)
  return path


def bits(tree):
  return jax.tree.map(lambda leaf: (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()), tree)


def test_parameters_come_back_bit_for_bit(tmp_path):
  """A rounded weight would make a resumed run differ from an uninterrupted one."""
  loaded = checkpoints.load(saved(tmp_path), jax.tree.map(jnp.zeros_like, PARAMS))
  assert bits(loaded) == bits(PARAMS)


def test_shapes_alone_tell_what_to_expect(tmp_path):
  """Loading must not need a second set of parameters in memory."""
  module = nn.Dense(3)
  params = module.init(jax.random.key(0), jnp.ones((1, 4)))
  like = jax.eval_shape(module.init, jax.random.key(0), jnp.ones((1, 4)))
  assert bits(checkpoints.load(saved(tmp_path, params), like)) == bits(params)


def test_truncation_at_every_byte_is_damage(tmp_path):
  """A disk that filled up must not yield parameters."""
  path = saved(tmp_path)
  data = path.read_bytes()
  for size in range(len(data)):
    path.write_bytes(data[:size])
    with pytest.raises(DamagedFile, match=r'epoch_5.msgpack is damaged'):
      checkpoints.load(path, PARAMS)


def test_every_flipped_bit_is_damage(tmp_path):
  """A flipped bit in a weight is a plausible weight: only a checksum can tell."""
  path = saved(tmp_path, {'bias': jnp.arange(3.0)})
  data = path.read_bytes()
  for position in range(8 * len(data)):
    flipped = bytearray(data)
    flipped[position // 8] ^= 1 << position % 8
    path.write_bytes(flipped)
    with pytest.raises(DamagedFile):
      checkpoints.load(path, {'bias': jnp.zeros(3)})


def test_appended_bytes_are_damage(tmp_path):
  """Two writers interleaved would leave a longer file."""
  path = saved(tmp_path)
  path.write_bytes(path.read_bytes() + b'\0')
  with pytest.raises(DamagedFile):
    checkpoints.load(path, PARAMS)


@pytest.mark.parametrize(
  ('like', 'message'),
  [
    ({'a': {'w': jnp.zeros(3)}}, r'a/w is float32\[2\], expected float32\[3\]'),
    ({'a': {'w': jnp.zeros(2, int)}}, r'a/w is float32\[2\], expected int32\[2\]'),
    ({'a': {'v': jnp.zeros(2)}}, r'a/v is missing, expected float32\[2\]'),
    ({'a': {}}, r'a/w is float32\[2\], expected no such parameter'),
  ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, like, message):
  """Another network's checkpoint must say which weight differs, not broadcast or crash."""
  path = saved(tmp_path, {'a': {'w': jnp.ones(2)}})
  with pytest.raises(InputError, match=message) as caught:
    checkpoints.load(path, like)
  assert not isinstance(caught.value, DamagedFile)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('leaf', 'message'),
  [
    (0.1, 'a/w is a float, not an array: use jnp.asarray'),
    (True, 'a/w is a bool, not an array'),
    (jax.random.key(0), 'a/w is a typed random key: save its jax.random.key_data'),
    (np.array(['x']), 'a/w is an array of <U1, not of numbers'),
    (np.array([{}]), 'a/w is an array of object, not of numbers'),
    (np.zeros(2), 'a/w is float64: JAX holds it with jax_enable_x64 only'),
    (object(), 'a/w is a object, not an array'),
  ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, leaf, message):
  """A checkpoint of Python numbers or typed keys was written, and failed when it was needed."""
  with pytest.raises(InputError, match=message):
    saved(tmp_path, {'a': {'w': leaf}})
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
  'leaf',
  [
    np.array([1.5, 2], '>f4'),
    np.array([1, 258], '>i4'),
    np.float32(0.1),
    jnp.zeros((0, 2)),
    np.ones((2, 3), np.float32).T,
    *(jnp.ones(3, kind) for kind in ('float8_e4m3fn', 'int4', 'complex64', 'bool', 'uint8')),
  ],
)
def test_every_kind_of_number_comes_back(tmp_path, leaf):
  """Big-endian arrays were written as they lie, and read as other numbers."""
  (found,) = checkpoints.load(saved(tmp_path, [leaf]), [leaf])
  np.testing.assert_array_equal(found, leaf)
  assert found.dtype.name == leaf.dtype.name


def test_double_precision_is_not_cut_when_loaded(tmp_path):
  """Saved under x64 and loaded without, float64 came back as float32, as if bit for bit."""
  with jax.enable_x64(True):
    path = saved(tmp_path, [jnp.zeros(2)])
  with pytest.raises(InputError, match='0 is float64: JAX holds it with jax_enable_x64 only'):
    checkpoints.load(path, [np.zeros(2)])


def test_expected_numbers_that_are_no_arrays_are_named(tmp_path):
  """They ended in an AttributeError."""
  with pytest.raises(InputError, match=r'a is float32\[\], expected float'):
    checkpoints.load(saved(tmp_path, {'a': jnp.ones(())}), {'a': 1.0})


@pytest.mark.parametrize(
  'content', [b'PK\x03\x04' + bytes(60), b'{"a": 1}', serialization.to_bytes(PARAMS), b'\x93N']
)
def test_a_foreign_file_is_called_foreign(tmp_path, content):
  """PyTorch's weights and other people's msgpack were said to be damaged."""
  (tmp_path / 'other').write_bytes(content)
  with pytest.raises(ForeignFile, match='other is not a file that mamljax wrote'):
    checkpoints.load(tmp_path / 'other', PARAMS)


def test_a_sealed_file_of_something_else_holds_no_parameters(tmp_path):
  """A cell's progress in the place of a checkpoint was a traceback of msgpack's."""
  atomic.write_sealed(tmp_path / 'other', b'PK\x03\x04')
  with pytest.raises(InputError, match='other holds no parameters'):
    checkpoints.load(tmp_path / 'other', PARAMS)


def test_checkpoints_of_earlier_versions_are_read(tmp_path):
  """They bear no name in front of their checksum; models took hours to train."""
  path = saved(tmp_path)
  path.write_bytes(path.read_bytes().removeprefix(b'mamljax\n'))
  assert bits(checkpoints.load(path, PARAMS)) == bits(PARAMS)


def test_a_pipe_is_not_waited_for(tmp_path):
  """Reading it never ended."""
  os.mkfifo(tmp_path / 'pipe')
  with pytest.raises(InputError, match='pipe: it is a pipe or a device'):
    checkpoints.load(tmp_path / 'pipe', PARAMS)


def test_a_missing_checkpoint_is_named(tmp_path):
  """One line with the path, no traceback."""
  with pytest.raises(InputError, match=r'cannot read .*none.msgpack: No such file'):
    checkpoints.load(tmp_path / 'none.msgpack', PARAMS)


def test_writing_replaces_and_leaves_no_temporary_file(tmp_path):
  """Leftovers would pile up over a long run."""
  path = saved(tmp_path)
  checkpoints.save(path, {'b': jnp.ones(1)})
  assert os.listdir(tmp_path) == ['epoch_5.msgpack']
  assert checkpoints.load(path, {'b': jnp.zeros(1)})['b'] == 1


@pytest.mark.parametrize('broken', ['fsync', 'replace'])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, broken):
  """A full disk while saving epoch 10 must not cost epoch 5, nor leave half a file."""
  path = tmp_path / 'file'
  atomic.write_text(path, 'old\r\n')

  def fail(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, broken, fail)
  with pytest.raises(InputError, match='No space left on device'):
    atomic.write_bytes(path, b'new')
  assert os.listdir(tmp_path) == ['file']
  assert path.read_bytes() == b'old\r\n'


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
  """Ctrl-C is no OSError, but must clean up just as well."""

  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'fsync', interrupt)
  with pytest.raises(KeyboardInterrupt):
    atomic.write_bytes(tmp_path / 'file', b'new')
  assert os.listdir(tmp_path) == []


def test_the_data_are_synced_before_they_are_named(tmp_path, monkeypatch):
  """Renaming first could leave an empty file under the right name after a power cut."""
  calls = []
  for name in ('fsync', 'replace'):
    real = getattr(os, name)
    monkeypatch.setattr(os, name, lambda *a, n=name, r=real: calls.append(n) or r(*a))
  atomic.write_bytes(tmp_path / 'file', b'data')
  assert calls == ['fsync', 'replace', 'fsync']  # the last one is the folder's


@pytest.mark.parametrize('folder', ['file', 'file/below'])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, folder):
  """The user must learn which folder, in one line."""
  (tmp_path / 'file').write_text('not a folder')
  with pytest.raises(InputError, match=f'in the folder {tmp_path / folder}: '):
    atomic.write_bytes(tmp_path / folder / 'x', b'')


def test_a_missing_folder_is_made(tmp_path):
  """A first result would be lost for want of its folder."""
  atomic.write_bytes(tmp_path / 'new' / 'below' / 'x', b'data')
  assert (tmp_path / 'new' / 'below' / 'x').read_bytes() == b'data'


def test_setting_aside_never_overwrites(tmp_path):
  """The evidence of an earlier damage would be lost."""
  path = tmp_path / 'cell.json'
  for text in 'abc':
    path.write_text(text)
    atomic.set_aside(path)
  names = ['cell.json.damaged', 'cell.json.damaged.1', 'cell.json.damaged.2']
  assert [(tmp_path / name).read_text() for name in names] == ['a', 'b', 'c']
  assert not path.exists()


def test_a_file_that_cannot_be_set_aside_is_named(tmp_path):
  """Going on as if it were gone would overwrite it."""
  with pytest.raises(InputError, match=r'cannot rename .*gone.json to gone.json.damaged: '):
    atomic.set_aside(tmp_path / 'gone.json')
