"""The classifiers under attack, as flax modules that take any image size and channels.

`conv4` is the usual few-shot network (Vinyals et al., 2016; Finn et al., 2017), `mlp` the
fully connected network of MAML's Omniglot experiments, `lenet` the five-layer LeNet.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mamljax import checks
from mamljax.checks import choice, count
from mamljax.convolution import FORMS, convolve
from mamljax.errors import InputError, unknown
from mamljax.types import Batch, Params


@jax.custom_jvp
def _softplus(z: jax.Array) -> jax.Array:
  """A ReLU with a rounded corner: softplus(5 z) / 5."""
  return nn.softplus(5 * z) / 5


# Derivatives of the sigmoid are polynomials of it, which keeps third derivatives cheap.
_softplus.defjvps(lambda tangent, _, z: nn.sigmoid(5 * z) * tangent)


class Initialization(NamedTuple):
  """Initialisers of the weights and biases of a layer.

  Attributes:
    kernel: the initialiser of the weights.
    bias_bound: from the number of inputs of a unit to the bound b of its bias, which is
      uniform in [-b, b]; 0 for zero biases.
  """

  kernel: nn.initializers.Initializer
  bias_bound: Callable[[int], float] = lambda fan_in: 0.0

  def bias(self, fan_in: int) -> nn.initializers.Initializer:
    """The initialiser of the biases of a layer whose units have `fan_in` inputs."""
    bound = self.bias_bound(fan_in)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(
      key, shape, dtype, minval=-bound, maxval=bound
    )


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  'relu': nn.relu,
  'softplus': _softplus,
  'sigmoid': nn.sigmoid,
}
INITIALIZATIONS = {
  'he': Initialization(nn.initializers.he_normal()),
  'lecun': Initialization(nn.initializers.lecun_normal()),
  'glorot': Initialization(nn.initializers.glorot_uniform()),
  # PyTorch's default for both: uniform in +-1/sqrt(fan_in).
  'pytorch': Initialization(
    nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform'), lambda fan_in: fan_in**-0.5
  ),
}
NORMALIZATIONS = ('none', 'batch', 'group')
DOWNSAMPLINGS = ('stride', 'max_pool')
# JAX's names. Below 'highest' a GPU rounds factors to TF32, a TPU to bfloat16, a CPU not.
PRECISIONS = ('highest', 'high', 'default')


class Convolution(nn.Module):
  """A convolution with biases; its options are those of `mamljax.convolution.convolve`."""

  features: int
  window: int
  initialization: Initialization
  stride: int = 1
  padding: str = 'SAME'
  form: str = 'auto'
  precision: str = 'highest'

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The feature maps [n, out_height, out_width, features]."""
    shape = (self.window, self.window, images.shape[-1], self.features)
    kernel = self.param('kernel', self.initialization.kernel, shape)
    bias_init = self.initialization.bias(math.prod(shape[:-1]))
    bias = self.param('bias', bias_init, (self.features,))
    names = ('stride', 'padding', 'form', 'precision')
    return convolve(images, kernel, **{name: getattr(self, name) for name in names}) + bias


class Normalization(nn.Module):
  """A normalisation layer of one of the kinds in `NORMALIZATIONS`.

  'none' leaves activations as they are. 'batch' uses the statistics of the current batch, as
  MAML does in training and in testing; they mix the images of a batch, so that they are a
  leak of their own. 'group' normalises groups of up to 8 channels.
  """

  kind: str

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """The normalised activations, of the shape of `x`."""
    if self.kind == 'batch':
      # nn.BatchNorm would keep running averages as state, which MAML never uses.
      scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
      bias = self.param('bias', nn.initializers.zeros, x.shape[-1:])
      axes = tuple(range(x.ndim - 1))
      return nn.standardize(x, axis=axes, epsilon=1e-5) * scale + bias
    if self.kind == 'group':
      return nn.GroupNorm(num_groups=None, group_size=math.gcd(8, x.shape[-1]))(x)
    return x


class Network(nn.Module):
  """Base class of the networks, with the options that all of them take.

  A network's own options are fields of its class.

  Attributes:
    ways: number of classes of a task, and so of outputs.
    activation: activation function of the hidden layers, a name in `ACTIVATIONS`.
    normalization: normalisation of the hidden layers, a name in `NORMALIZATIONS`.
    initialization: initialisation of all weights and biases, a name in `INITIALIZATIONS`.
    convolution: form of all convolutions, a name in `mamljax.convolution.FORMS`.
    precision: precision of all matrix products, a name in `PRECISIONS`.
    smallest_image: the smallest height and width of images, in pixels.
  """

  smallest_image: ClassVar[int] = 1

  ways: int = dataclasses.field(metadata=count(1))
  activation: str = dataclasses.field(default='relu', metadata=choice(*ACTIVATIONS))
  normalization: str = dataclasses.field(default='none', metadata=choice(*NORMALIZATIONS))
  initialization: str = dataclasses.field(default='he', metadata=choice(*INITIALIZATIONS))
  convolution: str = dataclasses.field(default='auto', metadata=choice(*FORMS))
  precision: str = dataclasses.field(default='highest', metadata=choice(*PRECISIONS))

  def finish(self, x: jax.Array) -> jax.Array:
    """The end of a hidden layer: normalisation, then activation."""
    return ACTIVATIONS[self.activation](Normalization(self.normalization)(x))

  def dense(self, x: jax.Array, features: int) -> jax.Array:
    """A fully connected layer with biases."""
    init = INITIALIZATIONS[self.initialization]
    return nn.Dense(
      features,
      kernel_init=init.kernel,
      bias_init=init.bias(x.shape[-1]),
      precision=self.precision,
    )(x)

  def convolve(self, x: jax.Array, features: int, window: int, **options) -> jax.Array:
    """A convolution with biases; `options` are those of `Convolution`."""
    init = INITIALIZATIONS[self.initialization]
    options |= {'form': self.convolution, 'precision': self.precision}
    return Convolution(features, window, init, **options)(x)


class Conv4(Network):
  """Four 3 x 3 convolutions, each halving the image, and a linear classifier.

  Attributes:
    filters: channels of each convolution.
    downsampling: halving of the image by a layer, 'stride' as for Omniglot or 'max_pool' as for
      miniImageNet.
  """

  filters: int = dataclasses.field(default=32, metadata=count(1))
  downsampling: str = dataclasses.field(default='stride', metadata=choice(*DOWNSAMPLINGS))

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways] of images [n, height, width, channels]."""
    x = images
    for _ in range(4):
      pool = self.downsampling == 'max_pool' and min(x.shape[1:3]) >= 2
      stride = 2 if self.downsampling == 'stride' else 1
      x = self.finish(self.convolve(x, self.filters, 3, stride=stride))
      x = max_pool(x) if pool else x
    return self.dense(x.reshape(x.shape[0], -1), self.ways)


class MLP(Network):
  """A fully connected network with layers of 256, 128, 64 and 64 hidden units."""

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways] of images [n, height, width, channels]."""
    x = images.reshape(images.shape[0], -1)
    for features in (256, 128, 64, 64):
      x = self.finish(self.dense(x, features))
    return self.dense(x, self.ways)


class LeNet(Network):
  """LeNet-5: two 5 x 5 convolutions with pooling, layers of 120 and 84 units, and outputs."""

  smallest_image: ClassVar[int] = 12

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways] of images [n, height, width, channels]."""
    if min(images.shape[1:3]) < self.smallest_image:
      raise InputError(f'lenet needs images of 12 x 12 pixels or more, not {images.shape[1:3]}')
    x = max_pool(self.finish(self.convolve(images, 6, 5)))
    x = max_pool(self.finish(self.convolve(x, 16, 5, padding='VALID')))
    x = x.reshape(x.shape[0], -1)
    for features in (120, 84):
      x = self.finish(self.dense(x, features))
    return self.dense(x, self.ways)


NETWORKS: dict[str, type[Network]] = {'conv4': Conv4, 'lenet': LeNet, 'mlp': MLP}


def make_network(name: str, *, ways: int, **options) -> Network:
  """The network of a name in `NETWORKS`; `options` are the attributes of its class.

  Raises:
    InputError: if the name or a choice is unknown, the network has no such option, or a number
      of outputs or channels is not a positive whole number.
  """
  if name not in NETWORKS:
    raise unknown('network', name, NETWORKS)
  known = options_of(NETWORKS[name])
  for option in options:
    if option not in known:
      raise unknown(f'option of the network {name}', option, known)
  network = NETWORKS[name](ways=ways, **options)
  checks.fields(network)
  return network


def options_of(network: type[nn.Module]) -> dict[str, dataclasses.Field]:
  """The fields of a network's class that are options: all but flax's own and `ways`."""
  fields = dataclasses.fields(cast(Any, network))
  return {field.name: field for field in fields if field.name not in _NO_OPTIONS}


_NO_OPTIONS = ('ways', 'parent', 'name')


def max_pool(x: jax.Array) -> jax.Array:
  """The maxima of 2 x 2 blocks; an odd last row or column is dropped.

  By a reshape, whose second derivatives are plain arithmetic, rather than `nn.max_pool`.
  """
  n, height, width, channels = x.shape
  blocks = x[:, : height // 2 * 2, : width // 2 * 2]
  return blocks.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def predict(network: nn.Module, params: Params, images: jax.Array) -> jax.Array:
  """The logits [n, ways] of images [n, height, width, channels]."""
  return cast(jax.Array, network.apply({'params': params}, images))


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
  """The mean softmax cross-entropy of a network, a `LossFn`.

  Losses of equal networks are equal and hash alike, so that `jax.jit` compiles them once.
  """

  network: nn.Module

  def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
    """The mean loss of the batch, a scalar."""
    checks.images('images', batch.images)
    logits = predict(self.network, params, batch.images)
    checks.labels('labels', batch.labels, ways=logits.shape[-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


@functools.partial(jax.jit, static_argnames=('network', 'image_shape'))
def init_params(
  key: jax.Array, network: nn.Module, image_shape: tuple[int, int, int]
) -> Params:
  """Initial parameters of a network for images of one shape (height, width, channels).

  Jitted, since a network of few layers is initialised by dozens of small programs.
  """
  return network.init(key, jnp.zeros((1, *image_shape)))['params']


def accuracy(network: nn.Module, params: Params, batch: Batch) -> jax.Array:
  """The share of a batch that the network classifies correctly, a scalar in [0, 1].

  NaN if a logit is not finite: the argmax of NaN is 0, which would be right by chance.
  """
  logits = predict(network, params, batch.images)
  correct = (logits.argmax(axis=-1) == batch.labels).mean()
  return jnp.where(jnp.isfinite(logits).all(), correct, jnp.nan)
