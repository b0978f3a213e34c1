"""A PyTorch network and its meta-gradient, read from files, are ours to 1e-4, or refused."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mamljax
from mamljax import Batch, InnerLoop, InputError, Task, check_forward, meta_gradient

torch = pytest.importorskip('torch')
RATE, WAYS = 0.1, 3
PLAN = {'layout': 'torch', 'flatten': (6, 2, 2)}


class Peer(torch.nn.Module):
  """Two convolutions, the second of stride 2, and two dense layers."""

  def __init__(self):
    super().__init__()
    self.conv1 = torch.nn.Conv2d(2, 4, 3, padding=1, stride=2)
    self.conv2 = torch.nn.Conv2d(4, 6, 3, padding=1, stride=2)
    self.fc1 = torch.nn.Linear(6 * 2 * 2, 5)
    self.fc2 = torch.nn.Linear(5, WAYS)

  def forward(self, x):
    """The logits of images [n, channels, height, width]."""
    x = torch.tanh(self.conv2(torch.tanh(self.conv1(x))))
    return self.fc2(torch.tanh(self.fc1(x.flatten(1))))


class Net(nn.Module):
  """The same network, with a padding to be chosen."""

  padding: Any = ((1, 1), (1, 1))

  @nn.compact
  def __call__(self, x):
    """The logits of images [n, height, width, channels]."""
    for features in (4, 6):
      x = jnp.tanh(nn.Conv(features, (3, 3), strides=2, padding=self.padding)(x))
    x = jnp.tanh(nn.Dense(5)(x.reshape(len(x), -1)))
    return nn.Dense(WAYS)(x)


NET = Net()
LIKE = jax.eval_shape(NET.init, jax.random.key(0), jnp.zeros((1, 8, 8, 2)))
IMAGES = np.random.default_rng(0).normal(size=(12, 8, 8, 2)).astype('float32')
LABELS = np.arange(6) % WAYS
TASK = Task(*(Batch(jnp.asarray(x), jnp.asarray(LABELS)) for x in (IMAGES[:6], IMAGES[6:])))


def loss_fn(params, batch):
  """Cross-entropy of our network."""
  logits: Any = NET.apply(params, batch.images)
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


@pytest.fixture(scope='module')
def peer():
  """A network of PyTorch's own initial weights."""
  torch.manual_seed(0)
  return Peer()


def channels_first(images):
  """Images as PyTorch takes them."""
  return torch.tensor(np.moveaxis(images, -1, 1))


def their_gradient(peer):
  """The meta-gradient of one step by `create_graph`."""
  names, weights = zip(*peer.named_parameters(), strict=True)
  labels, entropy = torch.tensor(LABELS), torch.nn.functional.cross_entropy

  def loss(params, images):
    call = torch.func.functional_call(peer, dict(zip(names, params, strict=True)), images)
    return entropy(call, labels)

  support, query = map(channels_first, (IMAGES[:6], IMAGES[6:]))
  slope = torch.autograd.grad(loss(weights, support), weights, create_graph=True)
  adapted = [w - RATE * s for w, s in zip(weights, slope, strict=True)]
  return dict(zip(names, torch.autograd.grad(loss(adapted, query), weights), strict=True))


def write(path, tensors):
  """Tensors in a file of the kind that its name says."""
  if path.suffix == '.pt':
    torch.save(tensors, path)
    return path
  arrays: Any = {n: np.ascontiguousarray(t.detach().numpy()) for n, t in tensors.items()}
  if path.suffix == '.npz':
    np.savez(path, **arrays)
  else:
    from safetensors.numpy import save_file

    save_file(arrays, path)
  return path


@pytest.mark.parametrize('suffix', ['.pt', '.npz', '.safetensors'])
def test_their_meta_gradient_is_ours(peer, tmp_path, suffix):
  """Else the audit of a PyTorch user's update is one of another model."""
  weights = mamljax.io.load(
    write(tmp_path / f'w{suffix}', peer.state_dict()), like=LIKE, **PLAN
  )
  check_forward(NET.apply, weights, IMAGES, peer(channels_first(IMAGES)))
  received = write(tmp_path / f'g{suffix}', their_gradient(peer))
  expected = mamljax.io.load(received, like=LIKE, **PLAN)
  found = meta_gradient(loss_fn, weights, TASK, InnerLoop(1, RATE))
  for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_list_of_gradients_is_in_the_order_of_the_parameters(peer, tmp_path):
  """`torch.autograd.grad` returns no names."""
  gradient = their_gradient(peer)
  torch.save([*gradient.values()], tmp_path / 'g.pt')
  named = mamljax.io.load(write(tmp_path / 'n.pt', gradient), like=LIKE, **PLAN)
  bare = mamljax.io.load(tmp_path / 'g.pt', like=LIKE, **PLAN)
  jax.tree.map(np.testing.assert_array_equal, bare, named)


def test_other_padding_and_other_flattening_are_refused(peer, tmp_path):
  """PyTorch's padding=1, stride=2 is not SAME: the same shapes, the gradient off by 1.43."""
  path = write(tmp_path / 'w.pt', peer.state_dict())
  outputs = peer(channels_first(IMAGES))
  weights = mamljax.io.load(path, like=LIKE, **PLAN)
  with pytest.raises(InputError, match=r"differ by .*padding=1, stride=2 is JAX's"):
    check_forward(Net(padding='SAME').apply, weights, IMAGES, outputs)
  weights = mamljax.io.load(path, like=LIKE, layout='torch', flatten='same')
  with pytest.raises(InputError, match='the order in which images are flattened'):
    check_forward(NET.apply, weights, IMAGES, outputs)
  with pytest.raises(InputError, match=r'gives \[12, 3\], and outputs are \[6, 3\]'):
    check_forward(NET.apply, weights, IMAGES, outputs[:6])


def test_the_flatten_order_is_asked_for(peer, tmp_path):
  """The shapes fit without it, and the inputs of the dense layer are shuffled."""
  path = write(tmp_path / 'w.pt', peer.state_dict())
  with pytest.raises(InputError, match=r'fc1.weight takes 24 inputs.*flatten=\(channels'):
    mamljax.io.load(path, like=LIKE)
  with pytest.raises(InputError, match='makes 18 inputs, and no dense layer has so many'):
    mamljax.io.load(path, like=LIKE, flatten=(2, 3, 3))


def test_a_pickle_of_a_module_is_not_opened(peer, tmp_path):
  """Unpickling runs whatever its writer wanted."""
  torch.save(peer, tmp_path / 'm.pt')
  with pytest.raises(InputError, match=r'as tensors alone: save .*state_dict'):
    mamljax.io.load(tmp_path / 'm.pt', like=LIKE)


def test_the_dictionary_of_tensors_in_a_checkpoint_is_found(peer, tmp_path):
  """Most people save the epoch beside it."""
  torch.save({'epoch': 3, 'state_dict': peer.state_dict()}, tmp_path / 'c.pt')
  path = write(tmp_path / 'w.pt', peer.state_dict())
  nested = mamljax.io.load(tmp_path / 'c.pt', like=LIKE, **PLAN)
  plain = mamljax.io.load(path, like=LIKE, **PLAN)
  jax.tree.map(np.testing.assert_array_equal, nested, plain)
