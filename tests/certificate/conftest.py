"""The certificate of the meta-gradient is in float64, where 1e-10 means something."""

import jax
import pytest


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield
