"""Sums over learners: what is sent, what the game draws, and what an adversary makes of it."""

import dataclasses
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.attacks import Knowledge, NoiseFilter
from mamljax.attacks.shadow_tasks import draw_shadow_task
from mamljax.audit.game import Trial, draw_trial
from mamljax.audit.likelihood_ratio import LikelihoodRatio
from mamljax.audit.metrics import auc
from mamljax.audit.playing import play
from mamljax.defences import (
  Aggregate,
  Chain,
  Defence,
  DPGaussian,
  Gaussian,
  make_defence,
  parse_defence,
)
from mamljax.errors import InputError
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop
from mamljax.protocol.learner import Learner
from mamljax.training import Training, init, train
from mamljax.types import Batch, Params, Pool, Task
from tests.defences.test_dp_gaussian import KEY, SLACK, size

INNER, MANY, CLIP = InnerLoop(1, 0.3), 1e6, 0.05
LINEAR = jnp.zeros((36, 2))
IMAGES = jax.random.normal(KEY, (4, 2, 2, 6, 6, 1))  # of four learners, in two sets each
LABELS = jnp.tile(jnp.arange(2), (4, 1))


def linear(params: Params, batch: Batch, /) -> jax.Array:
  """A loss whose gradient is the mean of images in the slots of their labels."""
  flat = batch.images.reshape(len(batch.labels), -1)
  return jnp.mean(jnp.take_along_axis(flat @ params, batch.labels[:, None], axis=1))


def tasks_of(images: jax.Array) -> Task:
  """The tasks of learners with these images."""
  return Task(Batch(images[:, 0], LABELS), Batch(images[:, 1], LABELS))


def hook(*, before=(MANY, 0.0), after=(MANY, 0.0)) -> Chain:
  """A clip and noise of each of four learners, and others of their mean."""
  own, joint = (DPGaussian(*map(jnp.float32, numbers)) for numbers in (before, after))
  return Chain(own, Aggregate(4), joint)


@jax.jit
def sent(made: Chain, images: jax.Array = IMAGES, key: jax.Array = KEY) -> jax.Array:
  """The message of four learners."""
  first, others = (
    jax.tree.map(operator.itemgetter(i), tasks_of(images)) for i in (0, slice(1, None))
  )
  told: Any = {'defence': Defence(outgoing=made), 'others': others}
  return send_gradient(key, linear, LINEAR, first, INNER, **told)


def alone() -> list[np.ndarray]:
  """The undefended messages, by hand."""
  query = np.asarray(IMAGES[:, 1]).reshape(4, 2, 36)
  return [each.T / 2 for each in query]


def test_the_sum_is_all_that_is_sent():
  """Its mean: a server that averages learns from it as from the messages one by one."""
  np.testing.assert_allclose(sent(hook()), np.mean(alone(), axis=0), rtol=1e-5)
  told: Any = {'defence': Defence(outgoing=Aggregate(1))}
  task = jax.tree.map(operator.itemgetter(0), tasks_of(IMAGES))
  found = jax.jit(lambda: send_gradient(KEY, linear, LINEAR, task, INNER, **told))()
  np.testing.assert_allclose(found, alone()[0], rtol=1e-5)


def test_a_clip_before_the_sum_is_of_each_message():
  """And one after it of the mean: as hooks of a chain are read."""
  clipped = [CLIP * one / np.linalg.norm(one) for one in alone()]
  mean = np.mean(clipped, axis=0)
  np.testing.assert_allclose(sent(hook(before=(CLIP, 0.0))), mean, rtol=1e-4)
  assert size(sent(hook(after=(CLIP, 0.0)))) == pytest.approx(CLIP, rel=1e-5)


def test_noise_of_each_averages_out():
  """Its keys must differ: one noise that all add would not, and look like more protection."""
  for made, deviation in ((hook(before=(10.0, 1.0)), 5.0), (hook(after=(10.0, 1.0)), 10.0)):
    found = [sent(made, IMAGES, key) for key in jax.random.split(KEY, 50)]
    assert np.std(found, axis=0).mean() == pytest.approx(deviation, rel=0.05)


def test_no_search_finds_sums_further_apart_than_two_clips_of_one():
  """Sensitivity, where one learner has another task; the search finds some so far apart."""

  def apart(pair: jax.Array) -> jax.Array:
    first, second = (sent(hook(before=(CLIP, 0.0)), IMAGES.at[0].set(x)) for x in pair)
    return 4 * jnp.linalg.norm(first - second)

  climb = jax.jit(jax.value_and_grad(apart))
  pair, far = IMAGES[2:], []
  for _ in range(60):
    found, slope = climb(pair)
    far.append(found)
    pair += slope / jnp.linalg.norm(slope)
  assert 0.99 * 2 * CLIP <= max(far) <= 2 * CLIP * SLACK


def test_a_guarantee_is_that_of_each_message():
  """The guarantee holds whoever talks to the server; a sum by itself has none."""
  mechanism = DPGaussian(0.1, 2.0)
  for hook in (Chain(mechanism, Aggregate(8)), Chain(Aggregate(8), mechanism)):
    assert Defence(outgoing=hook).epsilon(1e-5) == mechanism.epsilon(1e-5)
  for hook in (Aggregate(8), Chain(Gaussian(1.0), Aggregate(8))):
    with pytest.raises(InputError, match='has no guarantee'):
      Defence(outgoing=hook).epsilon(1e-5)


@functools.cache
def pool() -> Pool:
  """Images that are all different: 2 classes of 200."""
  images = np.random.default_rng(1).integers(0, 256, (400, 6, 6, 1), dtype=np.uint8)
  with jax.ensure_compile_time_eval():
    return Pool(*map(jnp.asarray, (images, np.arange(2) * 200, np.full(2, 200))))


MEMBERS = np.arange(100) % 2 == 0


@functools.cache
def drawn() -> Trial:
  """Trials in which four learners send, two images of each class in each set."""
  draw = functools.partial(draw_trial, ways=2, shots=2, target='query', others=3)
  play_one = jax.jit(jax.vmap(lambda key, member: draw(key, pool(), member)))
  return play_one(jax.random.split(KEY, 100), jnp.asarray(MEMBERS))


def test_no_other_learner_has_the_candidate():
  """A non-member that another learner of the sum holds would be a member."""
  found = drawn()
  others = [found.others.support.images, found.others.query.images]
  beside = np.concatenate([np.asarray(x).reshape(100, -1, 36) for x in others], axis=1)
  assert beside.shape[1] == 3 * 2 * 4
  own = [found.tasks.support.images, found.tasks.query.images, found.candidates.image]
  for one in own:
    flat = np.asarray(one).reshape(100, -1, 1, 36)
    assert not (flat == beside[:, None]).all(axis=-1).any()
  query, candidate = (np.asarray(x).reshape(100, -1, 36) for x in own[1:])
  is_there = (query == candidate).all(axis=-1).any(axis=1)
  np.testing.assert_array_equal(is_there, MEMBERS)


def separation(*hooks: Any) -> jax.Array:
  """The distances at which the bound tells two tasks apart."""
  told: Any = {'defence': Defence(outgoing=Chain(*hooks)), 'target': 'query'}
  bound = functools.partial(LikelihoodRatio().score, KEY, linear, LINEAR)
  return jax.jit(jax.vmap(lambda one: bound(one, INNER, **told)[1].separation))(drawn())


def test_who_knows_the_others_is_stopped_by_noise_alone():
  """The bound of a sum without noise is that of no defence; noise counts as it arrives."""
  images = drawn().candidates.image[:, 0], drawn().other
  moved = jnp.linalg.norm((images[0] - images[1]).reshape(100, -1), axis=1) / 4  # the message
  each = separation(Gaussian(1.0), Aggregate(4))
  joint = separation(Aggregate(4), Gaussian(1.0))
  np.testing.assert_allclose(each, moved / 4 / (1 / 4**0.5), rtol=1e-4)
  np.testing.assert_allclose(joint, moved / 4, rtol=1e-4)
  assert separation(Aggregate(4)).min() > 100


def test_shadows_of_a_sum_are_sums():
  """An adversary who played one learner alone would learn what is not sent."""
  known = Knowledge(
    linear, LINEAR, INNER, ways=2, shots=2, defence=Defence(outgoing=Aggregate(4))
  )
  draw = jax.jit(lambda key: draw_shadow_task(key, known, pool(), pairs=1).observation.gradient)
  found = np.asarray(jax.vmap(draw)(jax.random.split(KEY, 300)))
  # A gradient is the mean of two slots of two images each, of variance 1 / 12.
  assert found.var(axis=0).mean() == pytest.approx(1 / 12 / 2 / 4 / 4, rel=0.1)


def played(*, told: bool) -> Any:
  """The noise filter on sums of sixteen learners who send means of images."""
  defence = Defence(outgoing=Aggregate(16))
  known = Knowledge(
    linear, LINEAR, INNER, pool(), defence=defence if told else Defence(), ways=2, shots=1
  )
  options: Any = {'attack': NoiseFilter(directions=72), 'trials': 400, 'chunk': 400}
  return play(KEY, pool(), known, defence=defence, **options)


def test_an_image_among_sixteen_is_found_as_well_as_it_can_be():
  """By the Gaussian test of one among m, which an adversary who knows m comes up to.

  Who takes the sum for a message is sure of the wrong: that is no measure of a defence.
  """
  best = stats.norm.cdf((36 / 16 / 2) ** 0.5)  # 36 numbers, each with the variance of sixteen
  aware, unaware = (played(told=told) for told in (True, False))
  assert auc(aware.scores, aware.members) == pytest.approx(best, abs=0.05)
  right = [np.mean((one.scores > 0) == one.members) for one in (aware, unaware)]
  assert right[0] > 0.7
  assert right[1] < 0.6


def test_a_round_of_training_is_of_whole_sums():
  """Else the mean of a round would be over other learners than the sums are of."""
  defence = Defence(outgoing=Aggregate(2))
  training = Training(
    loss_fn=linear, inner=INNER, defence=defence, ways=2, shots=1, tasks_per_round=4
  )
  state, norms = train(KEY, init(LINEAR), pool(), training, rounds=2)
  assert np.isfinite(norms).all()
  assert size(state.params) > 0
  odd = dataclasses.replace(training, tasks_per_round=3)
  with pytest.raises(
    InputError, match='3 learners of a round are no multiple of the 2 of a sum'
  ):
    train(KEY, init(LINEAR), pool(), odd, rounds=1)


def test_what_is_no_sum_is_refused():
  """Another number of messages than is summed would be another defence than is reported."""
  first, two = (jax.tree.map(operator.itemgetter(i), tasks_of(IMAGES)) for i in (0, slice(2)))
  told = Defence(outgoing=Aggregate(4))
  with pytest.raises(InputError, match='of 4 learners: others= must hold the tasks of 3 othe'):
    send_gradient(KEY, linear, LINEAR, first, INNER, defence=told, others=two)
  with pytest.raises(InputError, match='of 1 learner: others= must hold the tasks of 0 others'):
    send_gradient(KEY, linear, LINEAR, first, INNER, others=two)
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
