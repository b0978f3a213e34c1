"""Quick compilation: the same numbers to rounding, by options that this compiler knows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import compiler
from mamljax.attacks import ATTACKS, GradientCosine, Reconstruction
from mamljax.audit import compiling
from mamljax.audit.compiling import as_needed, quickly
from mamljax.compiler import quick_options
from mamljax.reports.choice import Choice

needs_cpu = pytest.mark.skipif(jax.default_backend() != 'cpu', reason='options of a CPU')


@functools.partial(jax.jit, static_argnames='times')
def grown(x: jax.Array, rate: jax.Array, *, times: int) -> jax.Array:
  """A few sums of exponentials, for which fusion pays."""
  terms = [jnp.exp(-rate * x) * x**power for power in range(times)]
  return jnp.sum(jnp.stack(terms), axis=0)


@pytest.fixture
def asked_anew():
  """Options are asked of the compiler once in a process, and in this test once more."""
  caches = quick_options, compiling._quick
  for cache in caches:
    cache.cache_clear()
  yield
  for cache in caches:
    cache.cache_clear()


def test_a_program_compiled_quickly_computes_the_same():
  """Else an audit would say other numbers than a game of the same attack."""
  x, rate = jnp.linspace(0, 3, 1000), jnp.array(0.7)
  program, seconds = quickly(grown, x, rate, times=5)
  assert seconds == 0
  np.testing.assert_allclose(program(x, rate), grown(x, rate, times=5), rtol=1e-5)
  fewer, _ = quickly(grown, x, rate, times=2)
  np.testing.assert_allclose(fewer(x, rate), grown(x, rate, times=2), rtol=1e-5)


def test_it_is_compiled_once_for_the_same_static_arguments():
  """Every block of an audit asks for it again."""
  one, _ = quickly(grown, times=5)
  again, _ = quickly(grown, times=5)
  other, _ = quickly(grown, times=4)
  assert one is again
  assert one is not other


@needs_cpu
def test_this_compiler_knows_an_option_at_least():
  """Without any, nothing is quicker, and nothing would tell."""
  assert quick_options('cpu')['xla_backend_optimization_level'] == 1
  assert quick_options('cpu', level=0)['xla_backend_optimization_level'] == 0


@needs_cpu
def test_an_option_that_this_compiler_does_not_know_is_left_out(monkeypatch, asked_anew):
  """A later XLA drops options, and refuses to compile with them."""
  monkeypatch.setattr(compiler, '_FUSED', 'xla_cpu_use_no_such_thing')
  assert list(quick_options('cpu')) == ['xla_backend_optimization_level']
  x, rate = jnp.ones(3), jnp.array(0.1)
  program, _ = quickly(grown, x, rate, times=3)
  np.testing.assert_allclose(program(x, rate), grown(x, rate, times=3), rtol=1e-5)


def test_an_accelerator_keeps_its_own_options():
  """Else they would be set by what was measured on a CPU alone."""
  assert quick_options('gpu') == {}


def test_only_what_runs_for_long_is_compiled_for_speed():
  """A reconstruction takes a hundred steps a score; no other attack takes as many."""
  attacks = {name: kind() for name, kind in ATTACKS.items()}
  choice = Choice(attacks | {'cosine_2': GradientCosine()}, (), False, {}, ())
  slow = {name for name in choice.attacks if choice.compiled(name) is as_needed}
  assert slow == {'reconstruction'}
  renamed = Choice({'reconstruction_2': Reconstruction()}, (), False, {}, ())
  assert renamed.compiled('reconstruction_2') is as_needed
