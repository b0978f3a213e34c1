"""Sums over learners: what is sent, what the game draws, and what an adversary makes of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import Knowledge, NoiseFilter
from mamljax.attacks.shadow_tasks import draw_shadow_task
from mamljax.audit.game import draw_trial
from mamljax.audit.likelihood_ratio import LikelihoodRatio
from mamljax.audit.metrics import auc
from mamljax.audit.playing import play
from mamljax.data import load_dataset, split_dataset
from mamljax.defences import (
  Aggregate,
  Chain,
  Defence,
  DPGaussian,
  Gaussian,
  learners_of,
  make_defence,
  parse_defence,
)
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.protocol.learner import Learner
from mamljax.training import Training, init, train
from mamljax.types import Pool, Task
from tests.attacks.closed_form import convolutional
from tests.defences.test_dp_gaussian import KEY, PARAMS, loss_fn, size, task_of

INNER = InnerLoop(1, 0.3)
TASKS = [task_of(jax.random.normal(jax.random.key(i), (2, 4, 6))) for i in range(4)]
OTHERS = jax.tree.map(lambda *leaves: jnp.stack(leaves), *TASKS[1:])


def sent(hook, key=KEY, others: Task | None = OTHERS):
  """The message of four learners."""
  defence = Defence(outgoing=hook)
  return send_gradient(key, loss_fn, PARAMS, TASKS[0], INNER, defence=defence, others=others)


def agree(found, alone) -> None:
  """Tests whether a message is the mean of others."""
  mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *alone)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found, mean)


def test_the_sum_is_all_that_is_sent():
  """Its mean: a server that averages learns from it as from the messages one by one."""
  alone = [meta_gradient(loss_fn, PARAMS, task, INNER) for task in TASKS]
  agree(sent(Aggregate(4)), alone)
  agree(sent(Aggregate(1), others=None), alone[:1])


def test_a_clip_before_the_sum_is_of_each_message():
  """And one after it of the mean: as hooks of a chain are read."""
  alone = [meta_gradient(loss_fn, PARAMS, task, INNER) for task in TASKS]
  clipped = [DPGaussian(0.01, 0.0).clipped(one) for one in alone]
  agree(sent(Chain(DPGaussian(0.01, 0.0), Aggregate(4))), clipped)
  assert size(sent(Chain(Aggregate(4), DPGaussian(0.01, 0.0)))) == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize(
  ('hook', 'deviation'),
  [
    (Chain(Gaussian(10.0), Aggregate(4)), 5.0),
    (Chain(Aggregate(4), Gaussian(10.0)), 10.0),
  ],
)
def test_noise_of_each_averages_out(hook, deviation):
  """Its keys must differ: one noise that all add would not, and look like more protection."""
  found = jax.vmap(lambda key: sent(hook, key)['first'])(jax.random.split(KEY, 300))
  assert np.asarray(found).std() == pytest.approx(deviation, rel=0.05)


def test_a_guarantee_is_that_of_each_message():
  """Which holds whoever talks to the server; a sum by itself has none."""
  mechanism = DPGaussian(0.1, 2.0)
  for hook in (Chain(mechanism, Aggregate(8)), Chain(Aggregate(8), mechanism)):
    assert Defence(outgoing=hook).epsilon(1e-5) == mechanism.epsilon(1e-5)
  for hook in (Aggregate(8), Chain(Gaussian(1.0), Aggregate(8))):
    with pytest.raises(InputError, match='has no guarantee'):
      Defence(outgoing=hook).epsilon(1e-5)


@functools.cache
def pool() -> Pool:
  """Images that are all different: 3 classes of 20."""
  images = np.random.default_rng(1).integers(0, 256, (60, 3, 3, 1), dtype=np.uint8)
  return Pool(*map(jnp.asarray, (images, np.arange(3) * 20, np.full(3, 20))))


@pytest.mark.parametrize('member', [True, False])
def test_no_other_learner_has_the_candidate(member):
  """A non-member that another learner of the sum holds would be a member."""
  draw = functools.partial(draw_trial, ways=2, shots=2, target='query', others=3)
  found = jax.vmap(lambda key: draw(key, pool(), jnp.array(member)))(jax.random.split(KEY, 50))
  others = [found.others.support.images, found.others.query.images]
  beside = np.concatenate([np.asarray(x).reshape(50, -1, 9) for x in others], axis=1)
  assert beside.shape[1] == 3 * 2 * 4
  own = [found.tasks.support.images, found.tasks.query.images, found.candidates.image]
  for one in own:
    flat = np.asarray(one).reshape(50, -1, 1, 9)
    assert not (flat == beside[:, None]).all(axis=-1).any()
  query, candidate = (np.asarray(x).reshape(50, -1, 9) for x in own[1:])
  assert (query == candidate).all(axis=-1).any(axis=1).all() == member


def separation(defence: Defence) -> np.ndarray:
  """The distances at which the bound tells two tasks apart."""

  def one(key: jax.Array, member: jax.Array) -> jax.Array:
    options = {'ways': 2, 'shots': 2, 'target': 'query'}
    trial = draw_trial(key, pool(), member, others=3, **options)
    if learners_of(defence.outgoing) == 1:
      trial = trial._replace(others=None)
    params = jnp.linspace(-1, 1, 18).reshape(9, 2)
    told = {'defence': defence, 'target': 'query'}
    return LikelihoodRatio().score(KEY, linear, params, trial, INNER, **told)[1].separation

  return np.asarray(jax.vmap(one)(jax.random.split(KEY, 20), jnp.arange(20) % 2 == 0))


def linear(params, batch):
  """A loss whose gradient is a mean of images."""
  return jnp.mean(batch.images.reshape(len(batch.labels), -1) @ params)


def test_who_knows_the_others_is_stopped_by_noise_alone():
  """The bound of a sum without noise is that of no defence; noise counts as it arrives."""
  alone = separation(Defence(outgoing=Gaussian(1.0)))
  each = separation(Defence(outgoing=Chain(Gaussian(1.0), Aggregate(4))))
  joint = separation(Defence(outgoing=Chain(Aggregate(4), Gaussian(1.0))))
  np.testing.assert_allclose(each, alone / 2, rtol=1e-4)
  np.testing.assert_allclose(joint, alone / 4, rtol=1e-4)
  assert separation(Defence(outgoing=Aggregate(4))).min() > 100


def test_shadows_of_a_sum_are_sums():
  """An adversary who played one learner alone would learn what is not sent."""
  known = Knowledge(linear, jnp.zeros((9, 2)), INNER, None, ways=2, shots=2)

  def variance(learners: int) -> float:
    defended = dataclasses.replace(known, defence=Defence(outgoing=Aggregate(learners)))
    draw = functools.partial(draw_shadow_task, knowledge=defended, pool=pool(), pairs=1)
    found = jax.vmap(lambda key: draw(key).observation.gradient)(jax.random.split(KEY, 400))
    return float(np.asarray(found).var(axis=0).mean())

  assert variance(4) / variance(1) == pytest.approx(1 / 4, rel=0.3)


@functools.cache
def area(learners: int, *, told: bool = True) -> float:
  """The AUC of the noise filter on sums of learners of a small convolutional network."""
  victims = split_dataset(load_dataset('mnist_sample'), seed=0).victims
  known = convolutional()
  defence = Defence(outgoing=Aggregate(learners))
  known = dataclasses.replace(known, defence=defence if told else Defence())
  found = play(
    KEY, victims, known, attack=NoiseFilter(directions=64), trials=128, defence=defence
  )
  return float(auc(found.scores, found.members) or 0)


def test_more_learners_hide_more_and_never_all():
  """The curve falls; who knows that it is a sum finds more than who takes it for a message."""
  assert area(1) > 0.97
  assert area(1) > area(4) > 0.55
  assert area(4) > area(4, told=False) - 0.02


def test_a_round_of_training_is_of_whole_sums():
  """Else the mean of a round would be over other learners than the sums are of."""
  defence = Defence(outgoing=Aggregate(2))
  training = Training(
    loss_fn=linear, inner=INNER, defence=defence, ways=2, shots=1, tasks_per_round=4
  )
  state, norms = train(KEY, init(jnp.zeros((9, 2))), pool(), training, rounds=2)
  assert np.isfinite(norms).all()
  assert size(state.params) > 0
  odd = dataclasses.replace(training, tasks_per_round=3)
  with pytest.raises(
    InputError, match='3 learners of a round are no multiple of the 2 of a sum'
  ):
    train(KEY, init(jnp.zeros((9, 2))), pool(), odd, rounds=1)


def test_what_is_no_sum_is_refused():
  """Another number of messages than is summed would be another defence than is reported."""
  with pytest.raises(
    InputError, match='of 4 learners: others= must hold the tasks of 3 others'
  ):
    sent(Aggregate(4), others=None)
  with pytest.raises(InputError, match='of 1 learner: others= must hold the tasks of 0 others'):
    sent(None)
  with pytest.raises(InputError, match='one Aggregate at the most'):
    Chain(Aggregate(2), Aggregate(2))
  with pytest.raises(InputError, match='local game, learners=1'):
    draw_trial(
      KEY, pool(), jnp.array(True), ways=2, shots=1, target='query', learners=2, others=1
    )
  for text, reason in {
    'aggregate': 'needs its number of learners before it, as in 8*aggregate',
    '2.5*aggregate': 'learners of an Aggregate must be a whole number, not 2.5',
  }.items():
    with pytest.raises(InputError, match=reason.replace('*', r'\*')):
      parse_defence(text)


def test_it_is_named_with_its_number():
  """In a sweep: noise before it is each learner's, after it that of all together."""
  each = make_defence('outgoing_gradient_noise+8*aggregate', scale=0.3)
  joint = make_defence('8*aggregate+outgoing_gradient_noise', scale=0.3)
  assert each == Defence(outgoing=Chain(Gaussian(0.3), Aggregate(8)))
  assert joint == Defence(outgoing=Chain(Aggregate(8), Gaussian(0.3)))
  assert Learner(1, 0.1, defence=Defence(outgoing=Aggregate(8))).steps == 1
