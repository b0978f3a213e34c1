"""The filter for one inner step: what it takes for granted of the received gradient is so."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mamljax.attacks import CurvatureFilter, Knowledge, Observation
from mamljax.attacks.curvature_filter import _query_gradient, _Term
from mamljax.attacks.gaussian.shadows import draw_shadow, slot_references
from mamljax.errors import InputError
from mamljax.linear_algebra import low_rank_plus_diagonal
from mamljax.maml import InnerLoop, adapt, meta_gradient
from mamljax.types import Task
from tests.attacks.closed_form import (
  alone,
  knowledge,
  played,
  small,
  told,
  told_by,
  trials,
)
from tests.attacks.plays import WAYS


def first_trial() -> tuple[Knowledge, Task, Observation]:
  """The knowledge, the task and the observation of the first trial."""
  one = jax.tree.map(lambda leaf: leaf[0], (trials('support')[0].task, told('support')))
  return knowledge('support'), *one


def test_the_gradient_is_the_query_gradient_and_a_term_for_each_image():
  """The identity that all rests on: g = v - (a / n) sum_i H_i(w) v, exactly."""
  known, task, _ = first_trial()
  assert known.inner is not None
  theta = adapt(known.loss_fn, known.params, task.support, known.inner)
  v = jax.grad(known.loss_fn)(theta, task.query)
  term = _Term(known, v, len(task.support.labels))
  whole = ravel_pytree(v)[0] + sum(map(term, *task.support))
  sent = meta_gradient(known.loss_fn, known.params, task, known.inner)
  np.testing.assert_allclose(whole, ravel_pytree(sent)[0], atol=1e-6)


def test_the_query_gradient_is_read_off_the_received_one():
  """With the support set itself for references what is missed is of second order in a."""
  known, task, seen = first_trial()
  left = []
  for rate in (1e-1, 1e-2):
    known = dataclasses.replace(known, inner=InnerLoop(1, rate))
    assert known.inner is not None
    theta = adapt(known.loss_fn, known.params, task.support, known.inner)
    v = ravel_pytree(jax.grad(known.loss_fn)(theta, task.query))[0]
    sent = meta_gradient(known.loss_fn, known.params, task, known.inner)
    images = task.support.images.reshape(WAYS, -1, *task.support.images.shape[1:])
    read = _query_gradient(known, seen._replace(gradient=sent), images, v[None], jnp.zeros(()))
    left.append(jnp.linalg.norm(ravel_pytree(read)[0] - v))
  assert left[1] < left[0] / 50


def test_a_shadow_holds_references_of_the_slots_classes():
  """Another class in a slot, or an image twice, would imitate tasks that cannot be."""
  known, _, seen = first_trial()
  seen = seen._replace(support_labels=jnp.array([1, 0, 1]))
  shadow = np.asarray(draw_shadow(jax.random.key(0), known, seen))
  pools = np.asarray(slot_references(known, seen))
  for image, slot in zip(shadow, (1, 0, 1), strict=True):
    assert (pools[slot] == image).all(axis=(1, 2, 3)).sum() == 1
  assert (shadow[0] != shadow[2]).any()


def test_a_covariance_of_more_rows_than_columns_is_inverted_too():
  """Images may outnumber the numbers kept of a gradient."""
  random = np.random.default_rng(0)
  rows, vector = random.normal(size=(9, 4)), random.normal(size=4)
  expected = np.linalg.solve(rows.T @ rows + 0.5 * np.eye(4), vector)
  with jax.enable_x64(True):
    found = low_rank_plus_diagonal(jnp.asarray(rows), 0.5).solve(jnp.asarray(vector))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_order_of_the_query_images_does_not_matter():
  """A set has none: a score that moved would be reading the protocol, not the data."""
  seen = told_by(CurvatureFilter, 'support')
  turned = jax.tree.map(lambda leaf: leaf[:, ::-1], seen.query_set)
  turned = seen._replace(query_set=turned, query_labels=turned.labels)
  before = played(CurvatureFilter, 'support')[0]
  after = played(CurvatureFilter, 'support', turned)[0]
  np.testing.assert_allclose(after, before, rtol=2e-2, atol=5e-2 * float(np.std(before)))


@pytest.mark.parametrize('inner', [InnerLoop(5, 0.1), InnerLoop(1, 0.1, order=1)])
def test_inner_loops_without_such_terms_are_refused(inner):
  """They would be scored by a model that is not theirs, and look protected."""
  known = dataclasses.replace(knowledge('support'), inner=inner)
  with pytest.raises(InputError, match=r'needs one inner step of exact MAML.*shadow_matched'):
    small(CurvatureFilter).prepare(jax.random.key(0), known)


def test_what_is_not_known_is_named():
  """Without the query set or the inner loop there is no query gradient to imitate."""
  known, _, seen = first_trial()
  one = jax.tree.map(lambda leaf: leaf[0], trials('support')[0].candidate)
  for lacking in (
    (known, seen._replace(query_set=None)),
    (dataclasses.replace(known, inner=None), seen),
  ):
    with pytest.raises(ValueError, match='without the query set and the inner loop'):
      alone(small(CurvatureFilter), *lacking, one)
