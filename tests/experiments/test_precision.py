"""What less precise matrix products cost is measured against float32's."""

import jax
import jax.numpy as jnp
import pytest

from experiments.config.cell import Recipe
from experiments.engine import models, precision
from tests.experiments.configurations import changed, make_model

MODEL = make_model(dataset='mnist_sample', network='mlp', ways=2, matmul_precision='default')


def error(model: Recipe) -> float:
  splits = models.splits_of(model, None)
  params = models.initial_state(model, splits).params
  return precision.gradient_error(model, params, splits.calibration)


def test_float32_has_no_error():
  """Nothing is compared with itself: no program is compiled for it."""
  assert error(changed(MODEL, matmul_precision='highest')) == 0


def test_it_is_the_distance_in_units_of_the_norm(monkeypatch):
  """On a CPU all precisions are one, so the rounding is put in by hand: bfloat16's."""
  exact = precision._gradient

  def rounded(model: Recipe, *told) -> jax.Array:
    found = exact(model, *told)
    exactly = model.model.matmul_precision == 'highest'
    return found if exactly else found.astype(jnp.bfloat16).astype(float)

  monkeypatch.setattr(precision, '_gradient', rounded)
  assert 2**-12 < error(MODEL) < 2**-8
  if jax.default_backend() == 'cpu':
    monkeypatch.undo()
    assert error(MODEL) == pytest.approx(0, abs=1e-7)
