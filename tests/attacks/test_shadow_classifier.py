"""Closed forms together: weighed on shadows alone, and never worse for it."""

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mamljax.attacks import Candidate, Knowledge, Observation, ShadowClassifier
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.regression import regress
from mamljax.attacks.shadow_classifier import Prepared
from mamljax.attacks.shadow_tasks import draw_shadow_task
from mamljax.audit.metrics import auc
from mamljax.defences import Defence, Gaussian
from mamljax.errors import InputError
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Params, Pool, Task
from tests.attacks.closed_form import MEMBERS, TRIALS, references, seen, trials
from tests.attacks.digits import SHAPE
from tests.attacks.plays import WAYS

CHANCE = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # three deviations of the AUC
KEY, INNER = jax.random.key(0), InnerLoop(1, 0.1)
ATTACK = ShadowClassifier(shadows=60, pairs=2)
LAYERS = 5  # of the network, each with a share of missing traces
# Numbers of one defence, so that both are one program.
OPEN, HIDING = (Defence(outgoing=Gaussian(jnp.float32(scale))) for scale in (0, 1e3))


@functools.cache
def known(target: str = 'query') -> Knowledge:
  """The adversary's knowledge of learners with a small network, the query set withheld."""
  net = make_network('conv4', ways=WAYS, filters=12, initialization='pytorch')
  loss_fn, params = CrossEntropy(net), init_params(KEY, net, SHAPE)
  told = {'references': references(), 'ways': WAYS, 'shots': 1, 'defence': OPEN}
  return Knowledge(
    loss_fn, params, INNER, target=target, withheld=frozenset({'query_set'}), **told
  )


@functools.cache
def prepared(target: str = 'query', *, is_hidden: bool = False) -> Prepared:
  """The attack, prepared for learners that send what they have, or next to nothing of it."""
  told = dataclasses.replace(known(target), defence=HIDING if is_hidden else OPEN)
  return prepare(KEY, told)


prepare = jax.jit(ATTACK.prepare)
draw = jax.jit(draw_shadow_task, static_argnames='pairs')


@functools.cache
def told(target: str = 'query') -> Observation:
  """The observations of the trials of a target."""
  return seen(*trials(target), known(target))


@jax.jit
def score(prepared: Prepared, told: Observation, asked: Candidate) -> Any:
  """Scores and Info of some trials."""
  return jax.vmap(lambda *one: ATTACK.score(KEY, prepared, *one))(told, asked)


def scored(
  target: str = 'query', told_: Observation | None = None, by: Prepared | None = None
) -> np.ndarray:
  """The scores of the trials of a target."""
  told_ = told(target) if told_ is None else told_
  return np.asarray(score(by or prepared(target), told_, trials(target)[0].candidate)[0])


SUPPORT = pytest.param('support', marks=pytest.mark.slow)  # a large program of its own
LEAST = {'query': 0.9, 'support': 0.95}


@pytest.mark.parametrize('target', ['query', SUPPORT])
def test_members_are_found_at_even_odds(target):
  """Positive control, with the threshold of the log odds: no trial has chosen it."""
  assert np.mean((scored(target) > 0) == MEMBERS) >= LEAST[target]


def test_together_they_say_no_less_than_one_alone():
  """Were the weights wrong, the sum would rank worse than its best part."""
  by, asked = prepared(), trials('query')[0].candidate
  found, info = score(by, told(), asked)
  traces = (info.evidence * by.spread + by.centre)[:, :LAYERS]
  best = auc(-np.asarray(traces**2).sum(axis=1), MEMBERS) or 1
  assert best > 0.9  # these are the silent units
  assert (auc(np.asarray(found), MEMBERS) or 0) >= best - 0.01


def test_members_leave_their_steadfast_traces_and_others_do_not():
  """Positive control of that evidence, the last: else its weight would be about noise."""
  by, asked = prepared(), trials('query')[0].candidate
  evidence = score(by, told(), asked)[1].evidence * by.spread + by.centre
  missing = np.asarray(evidence[:, -LAYERS:] ** 2).sum(axis=1)
  assert np.mean((missing < 1e-3) == MEMBERS) >= 0.9


@pytest.mark.parametrize('target', ['query', SUPPORT])
def test_the_gradient_of_another_task_says_nothing(target):
  """Null control: what is learned from shadows must be about the gradient, not the image."""
  rolled = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), told(target).gradient)
  found = scored(target, told(target)._replace(gradient=rolled))
  assert auc(found, MEMBERS) == pytest.approx(0.5, abs=CHANCE)


def test_what_a_defence_spoils_gets_no_weight():
  """The defence is done to the shadows: an attack trained without it would trust noise."""
  keys = jax.random.split(jax.random.key(5), TRIALS)
  gradient = jax.vmap(Gaussian(1e3))(keys, told().gradient)
  found = scored('query', told()._replace(gradient=gradient), prepared(is_hidden=True))
  assert auc(found, MEMBERS) == pytest.approx(0.5, abs=CHANCE)
  assert np.abs(found).max() < np.abs(scored()).min() + 3  # nobody is called with confidence


class Doubled(NamedTuple):
  """A hook of which nothing is published but itself."""

  factor: float = 2.0

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    del key
    return jax.tree.map(lambda leaf: self.factor * leaf, value)


def test_a_defence_that_no_part_can_read_is_sent_through_all_the_same():
  """Parts refuse a hook of unknown strength: the attack for any defence would be skipped."""
  doubled = Defence(outgoing=Doubled())
  assert ATTACK.allows_for(doubled, 'query')
  told = dataclasses.replace(known(), defence=doubled)
  assert inapplicable(ATTACK, told, SHAPE) is None


def test_the_scale_of_the_gradient_does_not_matter():
  """A learner that sends a thousandth of its gradient would look protected."""
  gradient = jax.tree.map(lambda leaf: leaf * 1e-3, told().gradient)
  found = scored('query', told()._replace(gradient=gradient))
  np.testing.assert_allclose(found, scored(), rtol=0.02, atol=0.05)


def test_the_regression_is_that_of_scikit_learn():
  """Another bound or another penalty would be another attack than the equation says."""
  random = np.random.default_rng(0)
  rows = random.normal(size=(400, 5)).astype(np.float32)
  odds = rows @ np.array([2.0, -1, 0.5, 0, 0]) + 0.7
  signs = np.where(random.uniform(size=400) < 1 / (1 + np.exp(-odds)), 1.0, -1.0)
  told = np.arange(400) < 350
  weights, bias = regress(
    jnp.where(told[:, None], rows, 0), jnp.asarray(signs), jnp.asarray(told), 0.01
  )
  peer = LogisticRegression(C=1 / (0.01 * 350), tol=1e-8).fit(rows[told], signs[told])
  np.testing.assert_allclose(weights, peer.coef_[0], atol=1e-3)
  assert bias == pytest.approx(peer.intercept_[0], abs=1e-3)


def test_shadows_of_which_most_diverge_decide_nothing():
  """Weights of the few that did not would be about other learners."""
  rows, signs = jnp.ones((4, 2)), jnp.array([1.0, 1, -1, -1])
  weights, bias = regress(rows, signs, jnp.arange(4) < 2, 0.01)
  assert jnp.isnan(weights).all()
  assert jnp.isnan(bias)


def test_a_shadow_is_what_a_learner_would_send():
  """It adapted on its members: else the truth that weights are learned by is none."""
  knowledge = dataclasses.replace(known('support'), withheld=frozenset(), references=None)
  shadow = draw(KEY, knowledge, references(), pairs=WAYS)
  (images, labels), query = shadow.candidates, shadow.observation.query_set
  assert query is not None
  task = Task(Batch(images[:WAYS], labels[:WAYS]), query)
  sent = jax.jit(meta_gradient, static_argnums=0)(
    knowledge.loss_fn, knowledge.params, task, INNER
  )
  chex.assert_trees_all_close(shadow.observation.gradient, sent, rtol=1e-3, atol=1e-7)
  assert (labels[:WAYS] == labels[WAYS:]).all()
  apart = np.concatenate([images, query.images]).reshape(3 * WAYS, -1)
  assert len(np.unique(apart, axis=0)) == 3 * WAYS


def test_an_unknown_query_set_is_not_shown():
  """With it the attack would be trained for an adversary that the real one is not."""
  shadow = draw(KEY, known('support'), references(), pairs=1)
  assert shadow.observation.query_set is None


def test_too_few_references_are_refused():
  """Some say what is usual, others are drawn: the message has the number that would do."""
  few = Pool(references().images[:40], jnp.arange(10) * 4, jnp.full(10, 4))
  with pytest.raises(InputError, match=r'needs 5 references of each class or more.* not 4'):
    ATTACK.prepare(KEY, dataclasses.replace(known(), references=few))


def test_a_network_that_no_telling_part_can_read_is_refused():
  """Cosines and losses alone would be sold as all that is known."""

  def loss_fn(params: Params, batch: Any, /) -> jax.Array:
    return jnp.mean(batch.images) * params

  knowledge = Knowledge(loss_fn, jnp.ones(()), INNER, ways=WAYS, shots=1)
  with pytest.raises(InputError, match="'shadow_classifier'"):
    ATTACK.check_model(knowledge, jax.ShapeDtypeStruct(SHAPE, jnp.float32))
