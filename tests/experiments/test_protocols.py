"""Protocols of a sweep's task-learners: those of the library, played as they are named."""

from typing import Any

import jax
import numpy as np
import pytest

from experiments.config import grid
from experiments.config.attacks import Unplayable
from experiments.config.sections import PROTOCOLS, STEPS
from experiments.engine import models, protocols
from mamljax import InnerLoop, Learner, init_params
from mamljax.networks import NETWORKS
from mamljax.protocol import ImplicitMAML
from tests.experiments.configurations import make, make_model

PARAMS = {
  name: {'kernel': np.zeros(shape, np.float32)}
  for name, shape in {'Convolution_0': (40, 50), 'Dense_0': (30,)}.items()
}


def declared(protocol: str, **fields: Any) -> Any:
  """The learner of a protocol, as a cell's training and its trials have it."""
  target = 'support' if protocol in STEPS else 'query'
  recipe = make_model(protocol=protocol, inner_learning_rate=0.2, target=target, **fields)
  return models.describe_training(recipe, params=PARAMS).inner


def test_a_protocol_is_that_of_its_name():
  """A table of other learners would be one of MAML under five names."""
  inner = {name: declared(name) for name in PROTOCOLS}
  assert inner['maml'] == InnerLoop(1, 0.2)
  assert inner['imaml'] == Learner(1, 0.2, sends=ImplicitMAML())
  assert inner['reptile'] == Learner(1, 0.2, sends='reptile')
  assert inner['delta'] == Learner(1, 0.2, sends='delta')
  assert declared('anil', order=1).sends == 'fomaml'
  assert protocols.assumed(inner['anil'], 1) == declared('anil', order=1)


def test_rates_of_meta_sgd_are_of_each_parameter_and_of_the_seed():
  """With one rate for all it would be MAML, and with others at each call no protocol."""
  learner = declared('meta_sgd')
  rates = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(learner.rates)])
  assert learner.optimizer == 1
  assert 0.01 <= rates.min() < 0.02 < 0.19 < rates.max() <= 0.2
  assert len(np.unique(rates)) > len(rates) / 2
  assert jax.tree.all(jax.tree.map(np.array_equal, learner.rates, declared('meta_sgd').rates))


@pytest.mark.parametrize('name', NETWORKS)
def test_the_layer_that_anil_adapts_makes_the_logits(name):
  """Another one would be BOIL, or none."""
  recipe = make_model(network=name, protocol='anil', ways=7)
  network, anil = models.describe_network(recipe), protocols.declare(recipe)
  assert isinstance(anil, Learner)
  assert anil == protocols.declare(recipe)  # else each cell is compiled anew
  params = jax.eval_shape(lambda: init_params(jax.random.key(0), network, (28, 28, 1)))
  found = [path for path in params if anil.trainable and anil.trainable(f'{path}/kernel')]
  assert [params[path]['kernel'].shape[-1] for path in found] == [7]


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'protocol': 'delta', 'target': 'query'}, "'delta' sends nothing of the query set"),
    ({'protocol': 'imaml', 'order': 1}, "'imaml' has no order"),
    ({'protocol': 'meta_sgd', 'epoch': 1}, "rates of 'meta_sgd' are not trained"),
  ],
)
def test_what_nobody_sends_is_not_played(fields, message):
  """A row of it would be about another learner; in a grid it is left out, with the reason."""
  with pytest.raises(Unplayable, match=message):
    make(**fields)
  axes = {name: [value] for name, value in fields.items()}
  found = grid.expand(axes | {'protocol': ['maml', fields['protocol']]})
  assert [cell.inner.protocol for cell in found.cells] == ['maml']


@pytest.mark.parametrize('name', ['imaml', 'reptile', 'delta'])
def test_no_threshold_is_known_where_support_images_miss_entries(name):
  """By Hessians at theta, or rounding: the exact rule would call members safe."""
  known = [
    make(protocol=protocol, target='support', attack='silent_units').threshold
    for protocol in ('maml', name)
  ]
  assert known[0] is not None
  assert known[1] is None
