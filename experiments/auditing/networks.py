"""Small networks as models of an audit: functions for `--model`.

Untrained, of 3 ways, for grey images of 28 x 28 pixels, as MNIST and Fashion-MNIST have them;
weights begin as PyTorch's do, from a fixed key.
"""

from typing import Any

import jax

import mamljax
from mamljax.types import LossFn, Params

WAYS, IMAGE = 3, (28, 28, 1)


def conv4() -> tuple[LossFn, Params]:
  """Four convolutions of 8 channels."""
  return _untrained('conv4', filters=8)


def mlp() -> tuple[LossFn, Params]:
  """Fully connected layers."""
  return _untrained('mlp')


def _untrained(name: str, **options: Any) -> tuple[LossFn, Params]:
  """A network with its first weights."""
  network = mamljax.make_network(name, ways=WAYS, initialization='pytorch', **options)
  params = mamljax.init_params(jax.random.key(0), network, IMAGE)
  return mamljax.CrossEntropy(network), params
