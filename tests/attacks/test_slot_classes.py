"""Classes that nobody tells: found in the query images, all different, and never looked up."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.kernel_ridge import KernelRidge

from mamljax.attacks import (
  Knowledge,
  Observation,
  curvature_filter,
  residual_filter,
  shadow_matched_filter,
)
from mamljax.attacks.slot_classes import Prepared, assign, find_classes, learn_classes
from mamljax.audit.metrics import auc
from mamljax.data import load_dataset
from mamljax.errors import InputError
from mamljax.types import Batch, Pool
from tests.attacks.closed_form import (
  MEMBERS,
  known_to,
  options_of,
  played,
  scores,
  told_by,
  trials,
)
from tests.attacks.plays import loss_fn

CLASSES, EACH, TASKS = 10, 160, 50
FILTERS = [
  pytest.param(module, id=module.__name__.rpartition('.')[2])
  for module in (shadow_matched_filter, curvature_filter, residual_filter)
]


class Drawn(NamedTuple):
  """Query sets [tasks, ways * shots, ...], and the classes of their slots [tasks, ways]."""

  sets: Batch
  classes: np.ndarray


@functools.cache
def images(dataset: str) -> np.ndarray:
  """The packaged images of each class."""
  return load_dataset(dataset).images.reshape(CLASSES, 200, 28, 28, 1)


@functools.cache
def prepared(dataset: str) -> Prepared:
  """What the first 160 images of each class tell."""
  pool = images(dataset)[:, :EACH].reshape(-1, 28, 28, 1)
  starts, counts = jnp.arange(CLASSES) * EACH, jnp.full(CLASSES, EACH)
  known = Knowledge(loss_fn, {}, None, Pool(jnp.asarray(pool), starts, counts))
  return jax.jit(learn_classes, static_argnums=1)(known, 'unknown')


def draw(dataset: str, ways: int, shots: int) -> Drawn:
  """Query sets of the other images, the slots in no order."""
  random = np.random.default_rng(ways)
  classes = random.permuted(np.tile(np.arange(CLASSES), (TASKS, 1)), axis=1)[:, :ways]
  rows = random.permuted(np.tile(np.arange(EACH, 200), (TASKS, ways, 1)), axis=2)[..., :shots]
  labels = random.permuted(np.tile(np.repeat(np.arange(ways), shots), (TASKS, 1)), axis=1)
  # An image of a slot is the nth of it, n counting its places before.
  nth = np.array([[(row[:i] == row[i]).sum() for i in range(len(row))] for row in labels])
  task = np.arange(TASKS)[:, None]
  pixels = images(dataset)[classes[task, labels], rows[task, labels, nth]]
  return Drawn(Batch(jnp.asarray(pixels / 255, jnp.float32), jnp.asarray(labels)), classes)


@functools.partial(jax.jit, static_argnames='ways')
def find_all(told: Prepared, sets: Batch, *, ways: int) -> jax.Array:
  """The classes that are inferred from each query set, [tasks, ways]."""

  def one(query: Batch) -> jax.Array:
    seen = Observation(jnp.zeros(()), query.labels, query.labels, query)
    return find_classes(told, seen, ways=ways)

  return jax.vmap(one)(sets)


def found(dataset: str, drawn: Drawn) -> np.ndarray:
  """The same in NumPy, of what the packaged images tell."""
  return np.asarray(find_all(prepared(dataset), drawn.sets, ways=drawn.classes.shape[1]))


@pytest.mark.parametrize(
  ('dataset', 'ways', 'shots', 'least'),
  [
    ('mnist_sample', 5, 3, 0.99),
    ('mnist_sample', 3, 1, 0.9),
    ('fashion_mnist_sample', 5, 3, 0.93),
    ('fashion_mnist_sample', 10, 1, 0.75),
  ],
)
def test_classes_are_found(dataset, ways, shots, least):
  """Positive control: a filter with shadows of other classes would look like a safe model."""
  drawn = draw(dataset, ways, shots)
  assert np.mean(found(dataset, drawn) == drawn.classes) >= least


@pytest.mark.parametrize(('ways', 'shots'), [(3, 2), (10, 1)])
def test_another_library_finds_the_same(ways, shots):
  """Scikit-learn's kernel least squares in float64, and SciPy's assignment of its sums."""
  drawn = draw('fashion_mnist_sample', ways, shots)
  known = images('fashion_mnist_sample')[:, :EACH].reshape(CLASSES * EACH, -1) / 255
  is_class = np.repeat(np.eye(CLASSES), EACH, axis=0) - 1 / CLASSES
  oracle = KernelRidge(kernel='rbf', gamma=1 / known.var(axis=0).sum())
  oracle.set_params(alpha=0.1).fit(known, is_class)
  weights = np.asarray(prepared('fashion_mnist_sample').weights)
  np.testing.assert_allclose(weights, oracle.dual_coef_, atol=1e-3)
  expected = []
  for pixels, labels in zip(*map(np.asarray, drawn.sets), strict=True):
    likely = oracle.predict(pixels.reshape(len(pixels), -1))
    of_slot = np.stack([likely[labels == slot].sum(axis=0) for slot in range(ways)])
    expected.append(linear_sum_assignment(of_slot, maximize=True)[1])
  np.testing.assert_array_equal(found('fashion_mnist_sample', drawn), expected)


@pytest.mark.parametrize('shape', [(1, 1), (2, 3), (3, 10), (10, 10), (7, 40)])
@pytest.mark.parametrize('ties', [False, True])
def test_no_class_is_in_two_slots_and_none_would_do_better(shape, ties):
  """The sampler never does it; the best slot by slot would. Ties, as of a blank image, too."""
  random = np.random.default_rng(0)
  values = random.normal(size=(100, *shape)) + random.normal(size=shape[1])
  values = np.round(values) if ties else values
  chosen = np.asarray(jax.jit(jax.vmap(assign))(jnp.asarray(values, jnp.float32)))
  assert chosen.shape == (100, shape[0])
  for value, columns in zip(values, chosen, strict=True):
    assert len(set(columns)) == len(columns)
    best = value[linear_sum_assignment(value, maximize=True)].sum()
    assert value[np.arange(shape[0]), columns].sum() == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize('module', FILTERS)
def test_the_truth_is_not_looked_up(module):
  """Null control: told wrong classes, an attack that says it is told none must not notice."""
  few = jax.tree.map(lambda leaf: leaf[:4], told_by(module, 'support'))
  candidates = jax.tree.map(lambda leaf: leaf[:4], trials('support')[0].candidate)
  options = options_of(module, 'support', classes='unknown', shadows=6, swaps=4)
  assert few.classes is not None
  wrong = few._replace(classes=(few.classes + 3) % CLASSES)
  right, misled = (
    scores(module, known_to(module), s, candidates, options) for s in (few, wrong)
  )
  for before, after in zip(*map(jax.tree.leaves, (right, misled)), strict=True):
    np.testing.assert_array_equal(before, after)
  assert right[1].classes.shape == few.classes.shape


@pytest.mark.parametrize('module', [shadow_matched_filter, curvature_filter])
def test_members_are_found_without_the_classes(module):
  """Positive control of the whole: what is inferred must be as good as told, but for errors."""
  blind = told_by(module, 'support')._replace(classes=None)
  found, info = played(module, 'support', blind, classes='unknown')
  assert np.mean(info.classes == np.asarray(trials('support')[1])) > 0.9
  assert (auc(found, MEMBERS) or 0) > 0.93


def test_told_classes_are_kept():
  """Who is told the classes need not guess, nor make mistakes."""
  seen = jax.tree.map(lambda leaf: leaf[0], told_by(curvature_filter, 'support'))
  known = learn_classes(known_to(curvature_filter), 'known')
  np.testing.assert_array_equal(find_classes(known, seen, ways=2), trials('support')[1][0])


def test_what_is_not_known_is_named():
  """In the middle of a sweep, an index of None would not say what is missing."""
  seen = jax.tree.map(lambda leaf: leaf[0], told_by(curvature_filter, 'support'))
  bare = dataclasses.replace(known_to(curvature_filter), references=None)
  told, untold = learn_classes(bare, 'known'), prepared('mnist_sample')
  with pytest.raises(ValueError, match='cannot be told apart without references'):
    learn_classes(bare, 'unknown')
  with pytest.raises(ValueError, match='classes of slots are not told'):
    find_classes(told, seen._replace(classes=None), ways=2)
  with pytest.raises(ValueError, match='cannot be inferred without the query set'):
    find_classes(untold, seen._replace(query_set=None), ways=2)
  with pytest.raises(ValueError, match='11 slots cannot hold different ones of 10 classes'):
    find_classes(untold, seen, ways=11)


def test_the_sought_query_set_cannot_tell_its_classes():
  """It is not known: shadows of classes that nothing tells would be a silent guess."""
  options = options_of(residual_filter, 'query', classes='unknown')
  with pytest.raises(InputError, match=r"residual_filter.*'query': 'matched_filter' infers"):
    residual_filter.prepare(jax.random.key(0), known_to(residual_filter), options=options)
