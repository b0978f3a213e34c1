"""Small networks as models of an audit: functions for `--model`.

Untrained, of 3 ways, for grey images of 28 x 28 pixels, as MNIST and Fashion-MNIST have them;
weights begin as PyTorch's do, from a fixed key.
"""

from typing import Any

import jax

import mamljax
from experiments.auditing.model import Model

WAYS, IMAGE = 3, (28, 28, 1)


def conv4() -> Model:
  """Four convolutions of 8 channels."""
  return _untrained('conv4', filters=8)


def mlp() -> Model:
  """Fully connected layers."""
  return _untrained('mlp')


def _untrained(name: str, **options: Any) -> Model:
  """A network with its first weights."""
  network = mamljax.make_network(name, ways=WAYS, initialization='pytorch', **options)
  params = mamljax.init_params(jax.random.key(0), network, IMAGE)
  return Model(mamljax.CrossEntropy(network), params)
