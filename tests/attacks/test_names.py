"""Parameters that are no plain dicts of layers: no attack crashes on their names."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict

from mamljax.attacks import Candidate, Knowledge, Observation, PatchSpace, RowSpace
from mamljax.attacks.gradients.factors import dense_outputs
from mamljax.attacks.gradients.labels import infer_labels
from mamljax.attacks.gradients.layers import layer_gradient
from mamljax.attacks.gradients.names import by_path
from mamljax.attacks.gradients.objectives import objective
from mamljax.errors import InputError
from mamljax.recovery import recover_images
from mamljax.types import Batch, Pool

KERNEL, BIAS = jnp.ones((4, 8)), jnp.ones(8)
DENSE = {'Dense_0': {'kernel': KERNEL, 'bias': BIAS}}
OTHERS = {
  'FrozenDict': (FrozenDict(DENSE), 'not a FrozenDict'),
  'a list': ([KERNEL, BIAS], 'not a list'),
  'nnx.State': (nnx.State({'first': {'kernel': nnx.Param(KERNEL)}}), 'not a State'),
  'all variables': ({'params': DENSE}, r"give variables\['params'\]"),
  'a frozen layer': ({'Dense_0': FrozenDict(DENSE['Dense_0'])}, "'Dense_0' is a FrozenDict"),
}
PARAMS = [pytest.param(*told, id=name) for name, told in OTHERS.items()]
HAIKU = {'mlp/~/linear_0': {'w': KERNEL, 'b': BIAS}}
IMAGES = jnp.linspace(0, 1, 8).reshape(2, 2, 2, 1)
BATCH = Batch(IMAGES, jnp.arange(2))


def loss_fn(params, batch: Batch) -> jax.Array:
  """Of whatever pytree: every leaf acts on the images."""
  pixels = batch.images.reshape(len(batch.images), -1)
  parts = [jnp.mean(jnp.sin(leaf.sum() * pixels)) for leaf in jax.tree.leaves(params)]
  return jnp.stack(parts).sum()


def observation(params) -> Observation:
  return Observation(params, BATCH.labels, BATCH.labels)


@pytest.mark.parametrize(('params', 'said'), PARAMS)
def test_row_space_and_recovery_name_what_they_cannot_read(params, said):
  """An AttributeError of a list said nothing of what would have been right."""
  with pytest.raises(InputError, match=f"^attack 'row_space' .*'kernel' and 'bias'.*{said}"):
    RowSpace().prepare(jax.random.key(0), Knowledge(loss_fn, params))
  with pytest.raises(InputError, match=f'^the recovery of images .*{said}'):
    recover_images(jax.random.key(0), DENSE, params, (2, 2, 1), count=2)
  with pytest.raises(InputError, match=f'^the recovery of images .*{said}'):
    recover_images(jax.random.key(0), params, DENSE, (2, 2, 1), count=2)
  with pytest.raises(InputError, match=f'^the inference of labels .*{said}'):
    infer_labels(IMAGES, params, lambda _: params, ways=2)


def test_names_of_other_libraries_are_told():
  """Haiku's layers hold 'w' and 'b': there is a layer of all pixels, by another name."""
  attack, known = RowSpace(), Knowledge(loss_fn, HAIKU)
  prepared = attack.prepare(jax.random.key(0), known)
  candidate = Candidate(IMAGES[0], jnp.array(0))
  with pytest.raises(InputError, match=r"all 4 pixels .*'kernel', of those named mlp/~/linear"):
    attack.score(jax.random.key(0), prepared, observation(HAIKU), candidate)
  with pytest.raises(InputError, match='no output layer among mlp/~/linear_0/b, mlp'):
    infer_labels(IMAGES, HAIKU, lambda _: HAIKU, ways=2)


@pytest.mark.parametrize('params', [*(told[0] for told in OTHERS.values()), HAIKU])
def test_a_reconstruction_needs_no_names(params):
  """Its shortcut for dense layers read them, and failed."""
  assert dense_outputs(loss_fn, params, BATCH) is None
  told = Knowledge(loss_fn, params), observation(jax.tree.map(jnp.ones_like, params))
  found = objective(*told, BATCH, target='query', tv_weight=0.0)
  assert np.isfinite(found)


def test_a_layer_that_is_not_among_the_parameters_is_named():
  """The patches of a network whose variables are given whole ended in a KeyError."""
  with pytest.raises(InputError, match=r"'Dense_0' among params/Dense_0/bias, .*\['params'\]"):
    layer_gradient({'params': DENSE}, ('Dense_0',))
  np.testing.assert_array_equal(layer_gradient(FrozenDict(DENSE), ('Dense_0',)), KERNEL)
  known = Knowledge(loss_fn, [KERNEL], references=pool())
  with pytest.raises(InputError, match='no layer of the network'):
    PatchSpace().prepare(jax.random.key(0), known)


def test_a_dense_network_of_frozen_parameters_still_has_factors():
  """They are the same names, and half of the time."""
  network = nn.Dense(8)
  loss = functools.partial(dense_loss, network)
  frozen = FrozenDict(network.init(jax.random.key(0), jnp.ones((1, 400)))['params'])
  few = Batch(jnp.ones((2, 400, 1, 1)), jnp.arange(2))
  assert by_path(frozen).keys() == {('kernel',), ('bias',)}
  assert dense_outputs(loss, frozen, few) is not None


def dense_loss(network, params, batch: Batch) -> jax.Array:
  return network.apply({'params': params}, batch.images.reshape(len(batch.images), -1)).sum()


def pool():
  images = jnp.ones((4, 2, 2, 1), jnp.uint8)
  return Pool(images, jnp.array([0, 2]), jnp.array([2, 2]))
