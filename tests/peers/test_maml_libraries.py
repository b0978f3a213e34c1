"""Meta-gradients against other MAML libraries, which run the inner loop by code of their own.

Each is skipped where its library is not installed. learn2learn 0.2.0 ships C that Python 3.11
does not compile: its source distribution builds after `python setup.py build_ext`, with Cython.
"""

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import Batch, Learner, Task, meta_gradient

torch = pytest.importorskip('torch', reason='the extra `peers` is not installed')

STEPS, RATE, MOMENTUM = 3, 0.1, 0.9
TINY = (
  1e-20  # epsilon of Adam: higher adds it before the bias is corrected, as PyTorch once did
)
RANDOM = np.random.default_rng(0)
SIZES = {'0.weight': (4, 6), '0.bias': (4,), '2.weight': (3, 4), '2.bias': (3,)}
WEIGHTS = {name: RANDOM.normal(size=size) for name, size in SIZES.items()}
LABELS = np.arange(3)
SUPPORT, QUERY = RANDOM.uniform(size=(2, 3, 6))

# Gym, which learn2learn imports, and higher say at their import that they are old.
pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test, TorchOpt's count of steps included."""
  before = torch.get_default_dtype()
  torch.set_default_dtype(torch.float64)
  with jax.enable_x64(True):
    yield
  torch.set_default_dtype(before)


def library(name: str) -> Any:
  """A MAML library, or a skip that names it."""
  try:
    return importlib.import_module(name)
  except ImportError as error:
    pytest.skip(f'{name} is not installed, or does not run here: {error}')


def make_net():
  """A hidden layer of tanh units, in PyTorch."""
  net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
  net.load_state_dict({k: torch.from_numpy(v) for k, v in WEIGHTS.items()})
  return net


def loss_there(net, images):
  """Its cross-entropy."""
  target = torch.from_numpy(LABELS)
  return torch.nn.functional.cross_entropy(net(torch.from_numpy(images)), target)


def loss_here(params, batch: Batch, /):
  """The same in JAX, on the weights as PyTorch has them."""
  hidden = jnp.tanh(batch.images @ params['0.weight'].T + params['0.bias'])
  logits = hidden @ params['2.weight'].T + params['2.bias']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def sent(learner):
  """The message of a learner here."""
  task = Task(*(Batch(jnp.asarray(x), jnp.asarray(LABELS)) for x in (SUPPORT, QUERY)))
  weights = jax.tree.map(jnp.asarray, WEIGHTS)
  return jax.jit(functools.partial(meta_gradient, loss_here))(weights, task, learner)


def assert_same(found, expected):
  """Equal to rounding, and not for being 0."""
  for name, slope in zip(WEIGHTS, expected, strict=True):
    assert np.abs(found[name]).max() > 1e-6
    np.testing.assert_allclose(found[name], slope.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('sends', ['maml', 'fomaml'])
def test_learn2learn(sends):
  """Else its `MAML` and ours descend, or differentiate, otherwise."""
  net = make_net()
  is_first_order = sends == 'fomaml'
  maml = library('learn2learn').algorithms.MAML(net, lr=RATE, first_order=is_first_order)
  clone = maml.clone()
  for _ in range(STEPS):
    clone.adapt(loss_there(clone, SUPPORT))
  expected = torch.autograd.grad(loss_there(clone, QUERY), tuple(net.parameters()))
  assert_same(sent(Learner(STEPS, RATE, sends=sends)), expected)


def test_learn2learn_meta_sgd():
  """Else the gradient in the rates, which is sent, too, is another than its `MetaSGD` has."""
  net = make_net()
  meta = library('learn2learn').algorithms.MetaSGD(net, lr=RATE)
  clone = meta.clone()
  for _ in range(STEPS):
    clone.adapt(loss_there(clone, SUPPORT))
  variables = (*net.parameters(), *meta.lrs)
  expected = torch.autograd.grad(loss_there(clone, QUERY), variables)
  rates = {name: np.full(size, RATE) for name, size in SIZES.items()}
  found = sent(Learner(STEPS, 1.0, rates))
  assert_same(found.gradient, expected[: len(SIZES)])
  assert_same(found.rates, expected[len(SIZES) :])


OPTIMIZERS = {
  'sgd': (RATE, torch.optim.SGD, {'lr': RATE}),
  'momentum': (
    optax.sgd(RATE, momentum=MOMENTUM),
    torch.optim.SGD,
    {'lr': RATE, 'momentum': MOMENTUM},
  ),
  'adam': (optax.adam(RATE, eps=TINY), torch.optim.Adam, {'lr': RATE, 'eps': TINY}),
}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_higher(name):
  """Else its differentiable optimisers and those of optax take other steps."""
  ours, kind, options = OPTIMIZERS[name]
  higher, net = library('higher'), make_net()
  optimizer = kind(net.parameters(), **options)
  with higher.innerloop_ctx(net, optimizer, copy_initial_weights=False) as (there, steps):
    for _ in range(STEPS):
      steps.step(loss_there(there, SUPPORT))
    expected = torch.autograd.grad(loss_there(there, QUERY), tuple(net.parameters()))
  assert_same(sent(Learner(STEPS, ours)), expected)


META = {'sgd': 'MetaSGD', 'momentum': 'MetaSGD', 'adam': 'MetaAdam'}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_torchopt(name):
  """Else its differentiable optimisers and those of optax take other steps."""
  ours, _, options = OPTIMIZERS[name]
  torchopt, net = library('torchopt'), make_net()
  start = tuple(net.parameters())
  optimizer = getattr(torchopt, META[name])(net, **options)
  for _ in range(STEPS):
    optimizer.step(loss_there(net, SUPPORT))
  expected = torch.autograd.grad(loss_there(net, QUERY), start)
  assert_same(sent(Learner(STEPS, ours)), expected)
