"""On a quadratic loss the meta-gradient has a closed form, for any number of steps."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mamljax import Batch, InnerLoop, Task
from tests.certificate.problems import EXACT, meta_gradient, relative_error

STEPS = (1, 2, 3, 4, 5)
SIZES = (1, 5)


def quadratic_loss(w, batch: Batch):
  """w' A w / 2 - b' w, with A = X' X / n and b = X' y / n of the batch's rows X."""
  rows = batch.images.reshape(len(batch.labels), -1)
  n = len(batch.labels)
  return w @ (rows.T @ rows / n) @ w / 2 - (rows.T @ batch.labels / n) @ w


def make_problem(size: int, seed: int) -> tuple[np.ndarray, Task]:
  """Parameters, and a task of twice as many rows as there are parameters."""
  rng = np.random.default_rng(seed)

  def batch() -> Batch:
    images, labels = rng.normal(size=(2 * size, 1, 1, size)), rng.integers(5, size=2 * size)
    return Batch(jnp.asarray(images), jnp.asarray(labels))

  return rng.normal(size=size), Task(batch(), batch())


def matrices(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
  """A and b of a batch."""
  rows, labels = np.asarray(batch.images).reshape(len(batch.labels), -1), batch.labels
  return rows.T @ rows / len(rows), rows.T @ np.asarray(labels) / len(rows)


def closed_form(w, task: Task, steps: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
  """(I - rate A_s)^steps, and the query gradient at theta = w* + that times (w - w*)."""
  (a_s, b_s), (a_q, b_q) = matrices(task.support), matrices(task.query)
  contraction = np.linalg.matrix_power(np.eye(len(w)) - rate * a_s, steps)
  minimum = np.linalg.solve(a_s, b_s)
  theta = minimum + contraction @ (w - minimum)
  return contraction, a_q @ theta - b_q


@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize('size', SIZES)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.01, 1.0))
def test_meta_gradient_is_the_product_of_contractions(size, steps, seed, rate):
  """Else what is attacked is not the gradient that MAML sends."""
  w, task = make_problem(size, seed)
  contraction, query_gradient = closed_form(w, task, steps, rate)
  gradient = meta_gradient(quadratic_loss, w, task, InnerLoop(steps, rate))
  assert relative_error(gradient, contraction @ query_gradient) < EXACT


@pytest.mark.parametrize('rate', [0.1, 0.5])
@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize('size', SIZES)
def test_first_order_leaves_out_the_contractions(size, steps, rate):
  """Negative control: an approximation that passed above would mean that it tests nothing."""
  w, task = make_problem(size, seed=1)
  contraction, query_gradient = closed_form(w, task, steps, rate)
  gradient = meta_gradient(quadratic_loss, w, task, InnerLoop(steps, rate, order=1))
  assert relative_error(gradient, query_gradient) < EXACT
  assert relative_error(gradient, contraction @ query_gradient) > 0.01
