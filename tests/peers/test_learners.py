"""Messages of learners against PyTorch's `create_graph`, its optimisers written out there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import Batch, ImplicitMAML, Learner, Task, meta_gradient

torch = pytest.importorskip('torch', reason='the extra `peers` is not installed')

STEPS, RATE, STRENGTH = 3, 0.1, 2.0
RANDOM = np.random.default_rng(0)
WEIGHTS = {'body': RANDOM.normal(size=(6, 4)), 'head': RANDOM.normal(size=(4, 3))}
RATES = {name: RANDOM.uniform(0.05, 0.2, leaf.shape) for name, leaf in WEIGHTS.items()}
LABELS = np.arange(3)
SUPPORT, QUERY = RANDOM.uniform(size=(2, 3, 6))


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def loss_fn(params, batch: Batch, /):
  """A hidden layer of tanh units."""
  logits = jnp.tanh(batch.images @ params['body']) @ params['head']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def loss_there(params, images):
  """The same in PyTorch."""
  logits = torch.tanh(torch.from_numpy(images) @ params['body']) @ params['head']
  return torch.nn.functional.cross_entropy(logits, torch.from_numpy(LABELS))


def slopes(loss, params, *, create_graph=True):
  """A gradient by name."""
  found = torch.autograd.grad(loss, tuple(params.values()), create_graph=create_graph)
  return dict(zip(params, found, strict=True))


def sgd(count, g, state):
  return RATE * g, state


def momentum(count, g, state):
  trace = g + 0.9 * state[0]
  return RATE * trace, (trace,)


def adam(count, g, state):
  mean, square = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g**2
  unbiased = mean / (1 - 0.9**count), square / (1 - 0.999**count)
  return RATE * unbiased[0] / (unbiased[1].sqrt() + 1e-8), (mean, square)


def adapted(params, *, rule=sgd, rates=None, adapts=('body', 'head'), pull=0.0):
  """theta in a graph back to the parameters."""
  theta, states = dict(params), dict.fromkeys(adapts, (0.0, 0.0))
  for count in range(1, STEPS + 1):
    found = slopes(loss_there(theta, SUPPORT), theta)
    for name in adapts:
      g = found[name] + pull * (theta[name] - params[name])
      step, states[name] = rule(count, g, states[name])
      theta[name] = theta[name] - (step if rates is None else step * rates[name] / RATE)
  return theta


def variables(leaves):
  return {name: torch.tensor(leaf, requires_grad=True) for name, leaf in leaves.items()}


def assert_same(found, expected):
  """Equal to rounding."""
  for name, leaf in expected.items():
    np.testing.assert_allclose(found[name], leaf.detach().numpy(), rtol=1e-9, atol=1e-12)


def sent(learner):
  """The message of a learner here."""
  labels = jnp.asarray(LABELS)
  task = Task(Batch(jnp.asarray(SUPPORT), labels), Batch(jnp.asarray(QUERY), labels))
  weights = jax.tree.map(jnp.asarray, WEIGHTS)
  return jax.jit(functools.partial(meta_gradient, loss_fn))(weights, task, learner)


CASES = {
  'momentum': (Learner(STEPS, optax.sgd(RATE, momentum=0.9)), {'rule': momentum}),
  'adam': (Learner(STEPS, optax.adam(RATE)), {'rule': adam}),
  'head': (Learner(STEPS, RATE, trainable='head'.__eq__), {'adapts': ('head',)}),
  'body': (Learner(STEPS, RATE, trainable='body'.__eq__), {'adapts': ('body',)}),
}


@pytest.mark.parametrize('name', CASES)
def test_meta_gradient_through_an_optimizer(name):
  """Else the two frameworks differentiate different inner loops."""
  learner, options = CASES[name]
  params = variables(WEIGHTS)
  expected = slopes(loss_there(adapted(params, **options), QUERY), params)
  assert_same(sent(learner), expected)


def test_meta_sgd_sends_both_gradients():
  """The gradient in the rates is autograd's."""
  params, rates = variables(WEIGHTS), variables(RATES)
  loss = loss_there(adapted(params, rates=rates), QUERY)
  found = sent(Learner(STEPS, 1.0, RATES))
  assert_same(found.gradient, slopes(loss, params))
  assert_same(found.rates, slopes(loss, rates))


def test_implicit_maml_against_a_dense_hessian():
  """A direct solve of the system that is solved here by conjugate gradients."""
  params = variables(WEIGHTS)
  theta = variables({k: v.detach().numpy() for k, v in adapted(params, pull=STRENGTH).items()})
  sizes = [leaf.numel() for leaf in theta.values()]

  def loss_of(flat):
    pieces = torch.split(flat, sizes)
    shaped = {k: p.reshape(theta[k].shape) for k, p in zip(theta, pieces, strict=True)}
    return loss_there(shaped, SUPPORT)

  flat = torch.cat([leaf.detach().ravel() for leaf in theta.values()])
  hessian = torch.autograd.functional.hessian(loss_of, flat)
  right = torch.cat([g.ravel() for g in slopes(loss_there(theta, QUERY), theta).values()])
  solved = torch.linalg.solve(torch.eye(len(flat)).double() + hessian / STRENGTH, right)
  expected = {
    k: p.reshape(theta[k].shape) for k, p in zip(theta, torch.split(solved, sizes), strict=True)
  }
  assert_same(sent(Learner(STEPS, RATE, sends=ImplicitMAML(STRENGTH, 60))), expected)
