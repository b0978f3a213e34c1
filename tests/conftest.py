"""Settings that must be in place before JAX starts, here and in the commands under test."""

import gc
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from experiments.process import starting

_CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(_CACHE / 'mamljax' / 'xla'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.2')
starting.prepare()  # as every command does, before anything imports SciPy or JAX
# Tests compile much and run each program once or twice: XLA's quicker way to machine code.
_QUICK = '--xla_backend_optimization_level=1'
# XLA ends a process over a flag that it does not know: that of jaxlib 0.12 knows this no more.
if version('jaxlib').startswith('0.10.'):
  _QUICK += ' --xla_cpu_use_fusion_emitters=false'
os.environ.setdefault('XLA_FLAGS', _QUICK)


def pytest_collection_finish():
  """Spares the garbage collector what lives to the end, and most of its searches."""
  gc.freeze()
  gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope='module')
def room_for_compilations():
  """A worker that runs half of the suite would compile more than a process can hold."""
  from experiments.process import compilation  # only now, since it starts JAX

  yield
  compilation.forget_if_full()


@pytest.fixture(autouse=True, scope='module')
def compilation(request: pytest.FixtureRequest):
  """Machine code as LLVM first writes it, but in modules marked `optimised`.

  It is made in two thirds of the time, and a program that computes for a second takes six.
  """
  import jax

  first = request.node.get_closest_marker('optimised') is None
  jax.config.update('jax_disable_most_optimizations', first)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
