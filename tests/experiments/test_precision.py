"""What less precise matrix products cost is measured against float32's."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from experiments.config.cell import Model
from experiments.engine import models, precision

MODEL = Model(dataset='mnist_sample', network='mlp', ways=2, precision='default')


def error(model: Model) -> float:
  splits = models.splits_of(model, None)
  params = models.initial_state(model, splits).params
  return precision.gradient_error(model, params, splits.calibration)


def test_float32_has_no_error():
  """Nothing is compared with itself: no program is compiled for it."""
  assert error(dataclasses.replace(MODEL, precision='highest')) == 0


def test_it_is_the_distance_in_units_of_the_norm(monkeypatch):
  """On a CPU all precisions are one, so the rounding is put in by hand: bfloat16's."""
  exact = precision._gradient

  def rounded(model: Model, *told) -> jax.Array:
    found = exact(model, *told)
    return found if model.precision == 'highest' else found.astype(jnp.bfloat16).astype(float)

  monkeypatch.setattr(precision, '_gradient', rounded)
  assert 2**-12 < error(MODEL) < 2**-8
  if jax.default_backend() == 'cpu':
    monkeypatch.undo()
    assert error(MODEL) == pytest.approx(0, abs=1e-7)
