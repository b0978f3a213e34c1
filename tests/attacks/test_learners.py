"""Attacks on learners of every protocol, simulated by the learner's function or refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import (
  ATTACKS,
  Custom,
  Defence,
  Gaussian,
  ImplicitMAML,
  InnerLoop,
  InputError,
  Knowledge,
  Learner,
  Observation,
  play,
)
from mamljax.attacks import GradientCosine, NoiseFilter
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import check_learner, tell
from mamljax.attacks.gradients.objectives import objective
from mamljax.audit.game import observe
from mamljax.audit.metrics import auc
from mamljax.data import load_dataset, split_dataset
from mamljax.types import Batch, Params, Pool, Task

LABELS = np.array([0, 1, 2, 2])
SHAPES = {'first': (12, 5), 'second': (5, 3)}


def _identity(loss_fn, params, task, adapt):
  return jax.grad(lambda w: loss_fn(adapt(w, task.support), task.query))(params)


def _losses(loss_fn, params, task, adapt):
  theta = adapt(params, task.support)
  return {'support': loss_fn(theta, task.support), 'query': loss_fn(theta, task.query)}


def _is_head(path):
  return path == 'second'


RATES = {name: np.full(shape, 0.5) for name, shape in SHAPES.items()}
LEARNERS = {
  'plain': Learner(1, 0.5),
  'three steps': Learner(3, 0.5),
  'first order': Learner(1, 0.5, sends='fomaml'),
  'adam': Learner(3, optax.adam(0.1)),
  'meta-sgd': Learner(2, 1.0, RATES),
  'anil': Learner(2, 0.5, trainable=_is_head),
  'imaml': Learner(3, 0.2, sends=ImplicitMAML(2.0, 5)),
  'reptile': Learner(2, 0.5, sends='reptile'),
  'delta': Learner(2, 0.5, sends='delta'),
  'adam delta': Learner(2, optax.adam(0.1), sends='delta'),
  'anil delta': Learner(2, 0.5, trainable=_is_head, sends='delta'),
  'gradient of ones own': Learner(1, 0.5, sends=Custom(_identity, is_gradient=True)),
  'function': Learner(1, 0.5, sends=_losses),
}
STEPS_SENT = {'reptile', 'delta', 'adam delta', 'anil delta'}
SPAN = {'row_space', 'patch_space', 'silent_units', 'shadow_classifier'}
READERS = {'matched_filter', 'noise_filter', 'gradient_cosine', 'gradient_cosine_z'}


def is_refused(attack: str, target: str, name: str) -> bool:
  """The mathematics of each attack: what it takes of the message."""
  if target == 'query' and name in STEPS_SENT:
    return True
  if attack == 'curvature_filter':
    return name != 'plain'
  if attack == 'residual_filter':
    return name in STEPS_SENT | {'imaml', 'function', 'gradient of ones own'}
  if attack in SPAN and name in ('adam delta', 'anil delta'):
    return True
  reads = attack in SPAN | READERS or (attack == 'reconstruction' and target == 'query')
  return reads and name == 'function'


@pytest.mark.parametrize('name', LEARNERS)
@pytest.mark.parametrize('attack', ATTACKS)
def test_an_attack_refuses_the_learners_that_it_does_not_model(attack, name):
  """Else it models another learner, finds nothing, and the learner passes for safe."""
  made = ATTACKS[attack]()
  refused = [target for target in made.requires if is_refused(attack, target, name)]
  for target in set(made.requires) - {*refused}:
    check_learner(made, LEARNERS[name], target=target)
  for target in refused:
    with pytest.raises(InputError) as refusal:
      check_learner(made, LEARNERS[name], target=target)
    assert '\n' not in str(refusal.value)
    assert attack in str(refusal.value) or 'query set' in str(refusal.value)


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """A hidden layer of tanh units."""
  hidden = jnp.tanh(batch.images.reshape(len(batch.labels), -1) @ params['first'])
  logits = hidden @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


@pytest.mark.parametrize('name', LEARNERS)
def test_the_true_support_set_is_what_an_attack_expects(name):
  """Learner and attacks by simulation call one function, or differ in protocol."""
  with jax.enable_x64(True):
    random, learner = np.random.default_rng(0), LEARNERS[name]
    support, query = jnp.asarray(random.uniform(size=(2, 4, 3, 4, 1)))
    params = {name: jnp.asarray(random.normal(size=shape)) for name, shape in SHAPES.items()}
    task = Task(Batch(support, jnp.asarray(LABELS)), Batch(query, jnp.asarray(LABELS)))
    key, told = jax.random.key(0), frozenset({'query_set'})
    seen = observe(key, loss_fn, params, task, learner, requires=told)
    known = Knowledge(loss_fn, params, learner, target='support')

    @jax.jit
    def mismatch(images):
      guess = Batch(images, task.support.labels)
      return objective(known, seen, guess, target='support', tv_weight=0.0)

    assert abs(float(mismatch(support))) < 1e-12
    assert float(mismatch(support[::-1])) > 1e-5
    assert (seen.rates is None) == (name != 'meta-sgd')


def test_the_reason_is_found_without_computing_anything():
  """An audit of all attacks skips those that do not apply, by name."""
  params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in SHAPES.items()}
  known = Knowledge(loss_fn, params, LEARNERS['adam'], target='support', ways=3)
  reason = inapplicable(ATTACKS['curvature_filter'](), known, (12, 12, 1))
  assert reason == (
    "attack 'curvature_filter' models plain gradient steps of one rate, and this learner "
    'adapts by an optimiser of optax'
  )


def test_the_defence_of_a_learner_is_known_as_any_other():
  """And an attack that is not told of defences does not see it inside the learner."""
  defence = Defence(outgoing=Gaussian(0.1))
  pool = Pool(jnp.zeros((4, 2, 2, 1), jnp.uint8), jnp.arange(2) * 2, jnp.full(2, 2))
  known = Knowledge(loss_fn, {}, Learner(1, 0.1, defence=defence), pool, ways=2, shots=1)
  assert tell(NoiseFilter(), known).defence == defence
  assert tell(NoiseFilter(), known).inner is None
  simulated = ATTACKS['residual_filter']()
  told = tell(simulated, dataclasses.replace(known, target='support'))
  assert (told.defence, told.inner) == (None, Learner(1, 0.1))


def linear_loss(params, batch, /):
  """Softmax regression."""
  odds = jax.nn.log_softmax(batch.images.reshape(len(batch.images), -1) @ params)
  return -jnp.mean(jnp.take_along_axis(odds, batch.labels[:, None], axis=1))


def test_a_weight_delta_gives_its_support_set_away():
  """Positive control, of the sign as well: the wrong one scores below chance."""
  pool = split_dataset(load_dataset('mnist_sample'), seed=0).victims
  learner = Learner(2, 0.1, sends='delta')
  known = Knowledge(
    linear_loss, jnp.zeros((784, 2)), learner, target='support', ways=2, shots=1
  )
  played = functools.partial(play, jax.random.key(0), pool, attack=GradientCosine(), trials=200)
  told = played(known, chunk=100)
  area = auc(told.scores, told.members)
  assert area is not None
  assert area > 0.7
  blind = dataclasses.replace(known, target='query', inner=None)
  with pytest.raises(InputError, match="sends 'delta' does not use its query set"):
    played(blind, inner=learner)


def test_an_observation_without_rates_is_the_gradient_itself():
  """Attacks on the short form see what they always saw."""
  seen = Observation({'w': jnp.ones(2)}, jnp.arange(2), jnp.arange(2))
  assert seen.message is seen.gradient
  check_learner(GradientCosine(), InnerLoop(1, 0.1), target='query')
