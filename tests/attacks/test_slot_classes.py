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
  CurvatureFilter,
  Knowledge,
  Observation,
  ResidualFilter,
  ShadowMatchedFilter,
)
from mamljax.attacks.base import name_of
from mamljax.attacks.gaussian.slot_classes import Prepared, assign, find_classes, learn_classes
from mamljax.audit.metrics import auc
from mamljax.data import load_dataset
from mamljax.errors import InputError
from mamljax.types import Batch, Pool
from tests.attacks.closed_form import (
  MEMBERS,
  known_to,
  played,
  scores,
  small,
  told_by,
  trials,
)
from tests.attacks.plays import loss_fn

CLASSES, EACH, TASKS = 10, 160, 50
WITHHELD = frozenset({'classes'})
FILTERS = [
  pytest.param(kind, id=name_of(kind))
  for kind in (ShadowMatchedFilter, CurvatureFilter, ResidualFilter)
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
  """The preparation by the first 160 images of each class."""
  pool = images(dataset)[:, :EACH].reshape(-1, 28, 28, 1)
  starts, counts = jnp.arange(CLASSES) * EACH, jnp.full(CLASSES, EACH)
  public = Pool(jnp.asarray(pool), starts, counts)
  return jax.jit(learn_classes)(Knowledge(loss_fn, {}, None, public, withheld=WITHHELD))


def of_ways(told: Prepared, ways: int) -> Prepared:
  """The same, of tasks of so many slots."""
  return told._replace(knowledge=dataclasses.replace(told.knowledge, ways=ways))


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


@jax.jit
def find_all(told: Prepared, sets: Batch) -> jax.Array:
  """The classes that are inferred from each query set, [tasks, ways]."""

  def one(query: Batch) -> jax.Array:
    seen = Observation(jnp.zeros(()), query.labels, query.labels, query)
    return find_classes(told, seen)

  return jax.vmap(one)(sets)


def found(dataset: str, drawn: Drawn) -> np.ndarray:
  """The same in NumPy, of what the packaged images tell."""
  told = of_ways(prepared(dataset), drawn.classes.shape[1])
  return np.asarray(find_all(told, drawn.sets))


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


@pytest.mark.parametrize('kind', FILTERS)
def test_the_truth_is_not_looked_up(kind):
  """Null control: told wrong classes, an attack that says it is told none must not notice."""
  few = jax.tree.map(lambda leaf: leaf[:4], told_by(kind, 'support'))
  candidates = jax.tree.map(lambda leaf: leaf[:4], trials('support')[0].candidate)
  attack, known = small(kind, shadows=6, swaps=4), known_to(kind, 'support', WITHHELD)
  assert few.classes is not None
  wrong = few._replace(classes=(few.classes + 3) % CLASSES)
  right, misled = (scores(attack, known, s, candidates) for s in (few, wrong))
  for before, after in zip(*map(jax.tree.leaves, (right, misled)), strict=True):
    np.testing.assert_array_equal(before, after)
  assert right[1].classes.shape == few.classes.shape


@pytest.mark.parametrize('kind', [ShadowMatchedFilter, CurvatureFilter])
def test_members_are_found_without_the_classes(kind):
  """Positive control of the whole: what is inferred must be as good as told, but for errors."""
  blind = told_by(kind, 'support')._replace(classes=None)
  found, info = played(kind, 'support', blind, WITHHELD)
  assert np.mean(info.classes == np.asarray(trials('support')[1])) > 0.9
  assert (auc(found, MEMBERS) or 0) > 0.93


def test_told_classes_are_kept():
  """An adversary that is told the classes need not guess, nor make mistakes."""
  seen = jax.tree.map(lambda leaf: leaf[0], told_by(CurvatureFilter, 'support'))
  known = learn_classes(known_to(CurvatureFilter, 'support'))
  np.testing.assert_array_equal(find_classes(known, seen), trials('support')[1][0])


def test_what_is_not_known_is_named():
  """In the middle of a sweep, an index of None would not say what is missing."""
  seen = jax.tree.map(lambda leaf: leaf[0], told_by(CurvatureFilter, 'support'))
  bare = dataclasses.replace(known_to(CurvatureFilter, 'support'), references=None)
  told, untold = learn_classes(bare), of_ways(prepared('mnist_sample'), 2)
  with pytest.raises(ValueError, match='cannot be told apart without references'):
    learn_classes(dataclasses.replace(bare, withheld=WITHHELD))
  with pytest.raises(ValueError, match='classes of slots are not told'):
    find_classes(told, seen._replace(classes=None))
  with pytest.raises(ValueError, match='cannot be inferred without the query set'):
    find_classes(untold, seen._replace(query_set=None))
  with pytest.raises(ValueError, match='11 slots cannot hold different ones of 10 classes'):
    find_classes(of_ways(untold, 11), seen)


def test_the_sought_query_set_cannot_tell_its_classes():
  """It is not known: shadows of classes that nothing tells would be a silent guess."""
  blind = known_to(ResidualFilter, 'query', WITHHELD)
  with pytest.raises(InputError, match=r"'residual_filter' on the query .* without classes"):
    small(ResidualFilter).prepare(jax.random.key(0), blind)
