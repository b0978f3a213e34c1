"""What is compiled, and for how long it is kept."""

import itertools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.process import compilation
from experiments.process.compilation import compile_once

SHAPES = 20
ROOM = 80  # for about six of these executables


@pytest.fixture
def compiled(monkeypatch):
  """An empty store, so that other tests' executables stay."""
  kept = {}
  monkeypatch.setattr(compilation, '_COMPILED', kept)
  return kept


def count_maps():
  return len(compilation._MAPS.read_text().splitlines())


def ones(size):
  return jax.device_put(np.ones(size, np.float32))


@jax.jit
def scaled(x):
  return jnp.sin(x) * jnp.arange(len(x))


@pytest.mark.skipif(sys.platform != 'linux', reason='of Linux')
def test_ever_new_shapes_do_not_fill_the_process(compiled, monkeypatch, tmp_path):
  """A sweep over many shapes would end in a segmentation fault of XLA."""
  jax.clear_caches()
  before = count_maps()
  most = tmp_path / 'max_map_count'
  most.write_text(f'{2 * (before + ROOM)}\n')
  monkeypatch.setattr(compilation, '_MAX_MAPS', most)
  found = []
  for size in range(2, 2 + SHAPES):
    run, _ = compile_once(scaled, ones(size))
    assert float(run(ones(size))[1]) == pytest.approx(math.sin(1))
    found.append(count_maps())
  assert 0 < len(compiled) < SHAPES
  one = max(later - sooner for sooner, later in itertools.pairwise(found))
  assert max(found) <= before + ROOM + one


def test_shapes_are_compiled_once_where_there_is_room(compiled, monkeypatch, tmp_path):
  """Elsewhere than on Linux nothing is known of maps, and nothing is forgotten."""
  monkeypatch.setattr(compilation, '_MAPS', tmp_path / 'nowhere')
  for _ in range(2):
    for size in range(2, 5):
      compile_once(scaled, ones(size))
  assert len(compiled) == 3
  assert compile_once(scaled, ones(2))[1] == 0


def test_a_program_too_large_for_its_device_is_refused_before_it_runs(compiled, monkeypatch):
  """A device that fails in the middle of a block has lost the block, and says less."""
  monkeypatch.setattr(compilation, 'device_memory', lambda: 100)
  compile_once(scaled, ones(2))
  with pytest.raises(compilation.TooLarge, match='the device has') as caught:
    compile_once(scaled, ones(1000))
  assert (caught.value.needs, caught.value.has) == (8000, 100)
  assert len(compiled) == 1
