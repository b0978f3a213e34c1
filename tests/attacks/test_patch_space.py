"""The row space of a convolution: who is in its span, and who only looks like it."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance

from mamljax.attacks import Knowledge, Observation, PatchSpace
from mamljax.attacks.base import required
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.layers import layer_gradient, layer_inputs, widest_layer
from mamljax.attacks.patch_space import Prepared, _outside, _spans
from mamljax.audit.metrics import auc
from mamljax.errors import InputError
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch
from tests.attacks.closed_form import MEMBERS, TRIALS, references, seen, trials
from tests.attacks.digits import SHAPE
from tests.attacks.plays import WAYS

CHANCE = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # three deviations of the AUC


@functools.cache
def known(
  steps: int = 1, order: int = 2, rate: float = 0.1, activation: str = 'relu'
) -> Knowledge:
  """A small convolutional network, whose layers have more columns than two images patches."""
  options = {'filters': 24, 'initialization': 'pytorch', 'activation': activation}
  network = make_network('conv4', ways=WAYS, **options)
  params = init_params(jax.random.key(0), network, SHAPE)
  return Knowledge(CrossEntropy(network), params, InnerLoop(steps, rate, order), references())


@functools.cache
def observed(target: str, **loop: Any) -> Observation:
  """Observations of the trials of a target."""
  return seen(*trials(target), known(**loop))


@jax.jit
def attack(prepared: Prepared, observations: Any, candidates: Any) -> Any:
  """Scores and Info of some trials."""

  def one(observation: Any, candidate: Any) -> Any:
    return PatchSpace().score(jax.random.key(0), prepared, observation, candidate)

  return jax.vmap(one)(observations, candidates)


@functools.cache
def prepared(activation: str = 'relu') -> Prepared:
  """The preparation by public images, whatever the inner loop and the target."""
  prepare = jax.jit(functools.partial(PatchSpace().prepare, jax.random.key(0)))
  return prepare(known(activation=activation))


def scored(
  target: str,
  observations: Observation,
  candidates: Any = None,
  activation: str = 'relu',
  query_set: str = 'known',
) -> Any:
  """The same in NumPy, of the played candidates if no others are given."""
  candidates = trials(target)[0].candidate if candidates is None else candidates
  withheld = frozenset({'query_set'} if query_set == 'unknown' else ())
  told = prepared(activation)
  knowledge = dataclasses.replace(told.knowledge, target=target, withheld=withheld)
  found = attack(told._replace(knowledge=knowledge), observations, candidates)
  return jax.tree.map(np.asarray, found)


CASES = [('query', {}, 0.99), ('support', {}, 0.9), ('query', {'order': 1}, 0.99)]
CASES += [('support', {'steps': 3}, 0.9)]


@pytest.mark.parametrize(('target', 'loop', 'least'), CASES)
def test_planted_members_outscore_non_members(target, loop, least):
  """Positive control: an attack that finds no planted member finds no leak either."""
  assert (auc(scored(target, observed(target, **loop))[0], MEMBERS) or 0) >= least


@pytest.mark.parametrize('target', ['query', 'support'])
def test_the_gradient_of_another_task_says_nothing(target):
  """Null control: without information any AUC but 0.5 is a flaw of the game or the score.

  The gradients of eight other tasks for each candidate, whose chance is then about halved.
  """
  told = observed(target)
  rolled = (
    jax.tree.map(lambda leaf, n=n: jnp.roll(leaf, n, axis=0), told) for n in range(1, 9)
  )
  found = [auc(scored(target, other)[0], MEMBERS) or 0 for other in rolled]
  assert np.mean(found) == pytest.approx(0.5, abs=CHANCE / 2)


@pytest.mark.parametrize('query_set', ['known', 'unknown'])
def test_first_order_maml_hides_the_support_set(query_set):
  """Its gradient has no term of the support set's patches: what is found of second order is
  not an artefact of the score, nor of what is taken out of it.
  """
  told = observed('support', order=1)
  found = scored('support', told, query_set=query_set)[0]
  assert auc(found, MEMBERS) == pytest.approx(0.5, abs=CHANCE)


def test_where_nothing_adapts_a_member_is_in_the_span_exactly():
  """The claim itself: nothing of a member is outside, and much of any other image is.

  Of a smooth network, which has no dead columns that would leave fewer than patches.
  """
  told = observed('query', rate=0.0, activation='softplus')
  outside = scored('query', told, activation='softplus')[1].outside
  assert outside[MEMBERS].max() < 1e-3
  assert outside[~MEMBERS].min() > 0.3


def test_what_is_outside_against_numpy():
  """Whitening, what is taken out and the span, by NumPy's least squares in float64."""
  told = observed('query')
  layers = find_layers(known().loss_fn, known().params, trials('query')[0].candidate.image[0])
  last = widest_layer(layers, 'this test')
  assert last.name == 'Convolution_3/kernel'
  public = references().images.astype(np.float32) / 255

  def inputs(images: Any) -> np.ndarray:
    found = layer_inputs(layers, last, known().params, jnp.asarray(images))
    return np.asarray(found, np.float64)

  patches = inputs(public).reshape(10, -1, *inputs(public[:1]).shape[1:])
  apart = (patches - patches.mean(axis=1, keepdims=True)).reshape(-1, patches.shape[-1])
  covariance = EmpiricalCovariance(assume_centered=True).fit(apart).covariance_
  covariance += 0.01 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
  whiten = np.linalg.inv(np.linalg.cholesky(covariance))
  means = patches.mean(axis=1).reshape(-1, patches.shape[-1]) @ whiten.T
  _, info = scored('query', told)
  for at in range(4):
    gradient = jax.tree.map(lambda leaf, at=at: leaf[at], told.gradient)
    columns = np.asarray(layer_gradient(layers, last, gradient), np.float64)
    columns = columns[:, np.abs(columns).max(axis=0) > 0]
    columns /= np.linalg.norm(columns, axis=0)
    own = inputs(trials('query')[0].candidate.image[at][None])[0] @ whiten.T
    # The share that least squares leave, first of the means, then of them and the columns.
    mine, free = (
      np.sum((own.T - basis @ np.linalg.lstsq(basis, own.T, rcond=1e-5)[0]) ** 2)
      for basis in (means.T, np.concatenate([means.T, whiten @ columns], axis=1))
    )
    assert info.outside[at] == pytest.approx(free / mine, rel=0.02, abs=1e-3)


def test_only_the_span_matters():
  """Not the gradient's scale, nor its columns', nor the order of images, nor the slot."""
  told = observed('query')
  played, classes = trials('query')
  before = scored('query', told)[0]
  random = np.random.default_rng(0)
  gradient = {**told.gradient}
  kernel = gradient['Convolution_3']['kernel']
  powers = jnp.asarray(10.0 ** random.uniform(-5, 5, kernel.shape[-1]), jnp.float32)
  gradient['Convolution_3'] = gradient['Convolution_3'] | {'kernel': kernel * powers}
  turned = jax.tree.map(lambda leaf: leaf[:, ::-1], played.task)
  other = seen(played._replace(task=turned), classes, known())
  slots = played.candidate._replace(label=1 - played.candidate.label)
  for after in (
    scored('query', told._replace(gradient=gradient)),
    scored('query', other),
    scored('query', told, slots),
  ):
    np.testing.assert_allclose(after[0], before, rtol=0.02, atol=0.02)


def test_the_query_set_is_no_evidence_of_the_support_set():
  """With it known, nothing is left of its own images, which without stand out."""
  told, (played, _) = observed('support'), trials('support')
  query = played.candidate._replace(image=played.task.query.images[:, 0])
  known_outside, outside = (
    scored('support', told, query, query_set=said)[1].outside for said in ('known', 'unknown')
  )
  np.testing.assert_array_equal(known_outside, 1)
  assert np.median(outside) < 0.5


def test_the_query_set_is_looked_at_only_if_it_is_known():
  """Knowledge that is called unknown must not help, even where somebody passes it."""
  told = observed('support')
  with_it, without = (
    scored('support', seen, query_set='unknown')[0]
    for seen in (told, told._replace(query_set=None))
  )
  np.testing.assert_array_equal(with_it, without)
  with pytest.raises(ValueError, match='the query set is not known'):
    scored('support', told._replace(query_set=None))


def test_an_image_of_which_nothing_is_left_is_no_member():
  """Nothing is in every span: what whoever is blank says of a gradient is nothing."""
  none, images = jnp.zeros((3, 2, 8)), jax.random.normal(jax.random.key(0), (3, 2, 8))
  common = jax.random.normal(jax.random.key(1), (2, 8))
  spans = _spans(common, images[0].T)
  np.testing.assert_array_equal(_outside(none, spans), 1)
  assert spans.rank == 2
  # Columns of nothing but what is taken out span nothing: else their rounding would.
  spans = _spans(common, (common.T @ images[0, 0, :2])[:, None] * 1e-4)
  assert spans.rank == 0
  np.testing.assert_allclose(_outside(images, spans), 1, atol=1e-6)


def brightness(params: jax.Array, batch: Batch, /) -> jax.Array:
  """A loss without a layer."""
  return jnp.mean(params * batch.images)


def test_what_cannot_be_compared_is_named():
  """A network without such layers, or an adversary without public images."""
  bare = dataclasses.replace(known(), loss_fn=brightness, params=jnp.ones(()))
  with pytest.raises(InputError, match=r"^attack 'patch_space' finds no layer of the network"):
    PatchSpace().prepare(jax.random.key(0), bare)
  alone = dataclasses.replace(known(), references=None)
  with pytest.raises(ValueError, match='without references'):
    PatchSpace().prepare(jax.random.key(0), alone)


def test_what_is_unknown_is_not_told():
  """An adversary without the query set must not find it in the observation."""
  sought = dataclasses.replace(known(), target='support')
  blind = dataclasses.replace(sought, withheld=frozenset({'query_set'}))
  needs = [required(PatchSpace(), told) for told in (sought, blind)]
  assert needs[0] - needs[1] == {'query_set'}
  assert 'references' in needs[1]
