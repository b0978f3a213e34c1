"""The same small networks in several frameworks, from the same numbers.

`make(framework, kind)` gives a loss and its parameters; all frameworks' losses of a kind are
the same function of images [n, 8, 8, 1], with weights named, nested, ordered and transposed as
each framework does. Equinox and Haiku are skipped where they are not installed.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mamljax.types import Batch, LossFn, Params

SHAPE, WAYS, HIDDEN = (8, 8, 1), 3, 16
CHANNELS = 8, 24
Numbers = dict[str, np.ndarray]


def _draw(**shapes: tuple[int, ...]) -> Numbers:
  """Weights [..., inputs, features] by He's rule, and small biases."""
  random = np.random.default_rng(0)
  scales = {
    name: (2 / np.prod(s[:-1])) ** 0.5 if len(s) > 1 else 0.1 for name, s in shapes.items()
  }
  return {
    name: random.normal(scale=scales[name], size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }


MLP = _draw(w1=(64, HIDDEN), b1=(HIDDEN,), w2=(HIDDEN, WAYS), b2=(WAYS,))
# Two convolutions that halve the image, padded below and on the right, on channels last.
CONV = _draw(
  k1=(3, 3, 1, CHANNELS[0]),
  c1=(CHANNELS[0],),
  k2=(3, 3, *CHANNELS),
  c2=(CHANNELS[1],),
  w=(4 * CHANNELS[1], WAYS),
  b=(WAYS,),
)


class Loss(NamedTuple):
  """The cross-entropy of logits, hashable as `jax.jit` wants it."""

  logits: Callable[[Params, jax.Array], jax.Array]

  def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
    logits = self.logits(params, batch.images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def _flat(images: jax.Array) -> jax.Array:
  return images.reshape(len(images), -1)


class _LinenMLP(nn.Module):
  @nn.compact
  def __call__(self, images):
    hidden = nn.relu(nn.Dense(HIDDEN)(_flat(images)))
    return nn.Dense(WAYS)(hidden)


class _LinenConv(nn.Module):
  @nn.compact
  def __call__(self, images):
    x = images
    for features in CHANNELS:
      x = nn.relu(nn.Conv(features, (3, 3), strides=2)(x))
    return nn.Dense(WAYS)(_flat(x))


def _linen(kind: str) -> tuple[Loss, Params]:
  network = {'mlp': _LinenMLP, 'conv': _LinenConv}[kind]()
  names = {
    'mlp': {'Dense_0': ('w1', 'b1'), 'Dense_1': ('w2', 'b2')},
    'conv': {'Conv_0': ('k1', 'c1'), 'Conv_1': ('k2', 'c2'), 'Dense_0': ('w', 'b')},
  }[kind]
  drawn = {'mlp': MLP, 'conv': CONV}[kind]
  params = {
    layer: {'kernel': jnp.asarray(drawn[w]), 'bias': jnp.asarray(drawn[b])}
    for layer, (w, b) in names.items()
  }
  return Loss(lambda params, images: network.apply({'params': params}, images)), params


def _linen_variables(kind: str) -> tuple[LossFn, Params]:
  """All that `init` returns, one level further out."""
  loss, params = _linen(kind)
  return Loss(lambda variables, x: loss.logits(variables['params'], x)), {'params': params}


class _NNX(nnx.Module):
  def __init__(self, kind: str):
    rngs = nnx.Rngs(0)
    if kind == 'mlp':
      self.first, self.last = (
        nnx.Linear(64, HIDDEN, rngs=rngs),
        nnx.Linear(HIDDEN, WAYS, rngs=rngs),
      )
    else:
      self.first = nnx.Conv(1, CHANNELS[0], (3, 3), strides=2, rngs=rngs)
      self.middle = nnx.Conv(*CHANNELS, (3, 3), strides=2, rngs=rngs)
      self.last = nnx.Linear(4 * CHANNELS[1], WAYS, rngs=rngs)

  def __call__(self, images):
    if isinstance(self.first, nnx.Linear):
      return self.last(nnx.relu(self.first(_flat(images))))
    return self.last(_flat(nnx.relu(self.middle(nnx.relu(self.first(images))))))


def _nnx(kind: str) -> tuple[LossFn, Params]:
  network, drawn = _NNX(kind), {'mlp': MLP, 'conv': CONV}[kind]
  layers = {
    'mlp': {'first': ('w1', 'b1'), 'last': ('w2', 'b2')},
    'conv': {'first': ('k1', 'c1'), 'middle': ('k2', 'c2'), 'last': ('w', 'b')},
  }[kind]
  for name, (w, b) in layers.items():
    layer = getattr(network, name)
    layer.kernel, layer.bias = (
      nnx.Param(jnp.asarray(drawn[w])),
      nnx.Param(jnp.asarray(drawn[b])),
    )
  graph, state = nnx.split(network)
  return Loss(lambda state, images: nnx.merge(graph, state)(images)), state


def _channels_first(w: np.ndarray) -> np.ndarray:
  """Weights [height * width * channels, features] for inputs flattened with channels first."""
  return w.reshape(2, 2, CHANNELS[1], -1).transpose(2, 0, 1, 3).reshape(w.shape)


def _equinox(kind: str) -> tuple[LossFn, Params]:
  """One image at a time, under `vmap`; weights transposed, channels first."""
  eqx = pytest.importorskip('equinox')
  key = jax.random.key(0)
  if kind == 'mlp':
    layers = [
      eqx.nn.Lambda(jnp.ravel),
      eqx.nn.Linear(64, HIDDEN, key=key),
      eqx.nn.Lambda(jax.nn.relu),
      eqx.nn.Linear(HIDDEN, WAYS, key=key),
    ]
    numbers = {1: (MLP['w1'].T, MLP['b1']), 3: (MLP['w2'].T, MLP['b2'])}
  else:
    options = {'stride': 2, 'padding': ((0, 1), (0, 1)), 'key': key}
    layers = [
      eqx.nn.Conv2d(1, CHANNELS[0], 3, **options),
      eqx.nn.Lambda(jax.nn.relu),
      eqx.nn.Conv2d(*CHANNELS, 3, **options),
      eqx.nn.Lambda(jax.nn.relu),
      eqx.nn.Lambda(jnp.ravel),
      eqx.nn.Linear(4 * CHANNELS[1], WAYS, key=key),
    ]
    numbers = {
      0: (CONV['k1'].transpose(3, 2, 0, 1), CONV['c1'][:, None, None]),
      2: (CONV['k2'].transpose(3, 2, 0, 1), CONV['c2'][:, None, None]),
      5: (_channels_first(CONV['w']).T, CONV['b']),
    }
  network = eqx.nn.Sequential(layers)
  for at, (w, b) in numbers.items():
    network = eqx.tree_at(
      lambda net, at=at: (net.layers[at].weight, net.layers[at].bias),
      network,
      (jnp.asarray(w), jnp.asarray(b)),
    )
  params, static = eqx.partition(network, eqx.is_array)

  def logits(params: Params, images: jax.Array) -> jax.Array:
    return jax.vmap(eqx.combine(params, static))(jnp.moveaxis(images, 3, 1))

  return Loss(logits), params


def _haiku(kind: str) -> tuple[LossFn, Params]:
  hk = pytest.importorskip('haiku')

  def forward(images: jax.Array) -> jax.Array:
    x = images
    for features in CHANNELS if kind == 'conv' else ():
      x = jax.nn.relu(hk.Conv2D(features, 3, stride=2)(x))
    sizes = [HIDDEN, WAYS] if kind == 'mlp' else [WAYS]
    return hk.nets.MLP(sizes)(_flat(x))

  network = hk.without_apply_rng(hk.transform(forward))
  drawn = {'mlp': MLP, 'conv': CONV}[kind]
  names = {
    'mlp': {'mlp/~/linear_0': ('w1', 'b1'), 'mlp/~/linear_1': ('w2', 'b2')},
    'conv': {
      'conv2_d': ('k1', 'c1'),
      'conv2_d_1': ('k2', 'c2'),
      'mlp/~/linear_0': ('w', 'b'),
    },
  }[kind]
  params = {
    layer: {'w': jnp.asarray(drawn[w]), 'b': jnp.asarray(drawn[b])}
    for layer, (w, b) in names.items()
  }
  return Loss(network.apply), params


def _convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """PyTorch's layout: channels first, weights [features, channels, height, width]."""
  return jax.lax.conv_general_dilated(images, kernel, (2, 2), ((0, 1), (0, 1)))


def _plain_dict(kind: str) -> tuple[LossFn, Params]:
  """Names in an order that is not that of the layers."""
  if kind == 'mlp':

    def logits(params, images):
      hidden = jax.nn.relu(_flat(images) @ params['z']['in'] + params['z']['at'])
      return hidden @ params['a'] + params['b']

    params = {'z': {'in': MLP['w1'], 'at': MLP['b1']}, 'a': MLP['w2'], 'b': MLP['b2']}
  else:

    def logits(params, images):
      x = images.transpose(0, 3, 1, 2)
      for kernel, bias in (params['z'], params['y']):
        x = jax.nn.relu(_convolve(x, kernel) + bias[:, None, None])
      return _flat(x) @ params['a'] + params['b']

    first, second = (CONV[k].transpose(3, 2, 0, 1) for k in ('k1', 'k2'))
    last = {'a': _channels_first(CONV['w']), 'b': CONV['b']}
    params = {'z': (first, CONV['c1']), 'y': (second, CONV['c2'])} | last
  return Loss(logits), jax.tree.map(jnp.asarray, params)


def _plain_list(kind: str) -> tuple[LossFn, Params]:
  """Without names; weights transposed, last ones first, biases beside some in one array."""
  if kind == 'mlp':

    def logits(params, images):
      last, (first, bias) = params
      hidden = jax.nn.relu(jnp.einsum('fi,ni->nf', first, _flat(images)) + bias)
      return hidden @ last[:, :-1].T + last[:, -1]

    last = np.concatenate([MLP['w2'].T, MLP['b2'][:, None]], axis=1)
    params = [last, (MLP['w1'].T, MLP['b1'])]
  else:

    def logits(params, images):
      last, bias, (*kernels,), (*biases,) = params
      x = images.transpose(1, 2, 3, 0)
      axes = ('HWCN', 'OHWI', 'HWCN')
      for kernel, shift in zip(kernels, biases, strict=True):
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), 'SAME', dimension_numbers=axes)
        x = jax.nn.relu(x + shift[:, None])
      return (last @ x.reshape(-1, x.shape[-1])).T + bias

    kernels = [CONV[k].transpose(3, 0, 1, 2) for k in ('k1', 'k2')]
    params = [CONV['w'].T, CONV['b'], kernels, [CONV['c1'], CONV['c2']]]
  return Loss(logits), jax.tree.map(jnp.asarray, params)


_MAKERS: dict[str, Callable[[str], tuple[Any, Params]]] = {
  'linen': _linen,
  'linen_variables': _linen_variables,
  'nnx': _nnx,
  'equinox': _equinox,
  'haiku': _haiku,
  'dict': _plain_dict,
  'list': _plain_list,
}
FRAMEWORKS = tuple(_MAKERS)


@functools.cache
def make(framework: str, kind: str = 'mlp') -> tuple[LossFn, Params]:
  """The loss and the parameters of an 'mlp' or a 'conv' network in one of `FRAMEWORKS`."""
  return _MAKERS[framework](kind)
