"""The key of the code tells apart all that can change a number, and nothing else."""

import jax
import pytest

from experiments.process import provenance

SOURCES = {
  'mamljax/__init__.py': '',
  'mamljax/attacks/loss.py': 'def score(x):\n  return x\n',
  'experiments/__init__.py': '',
  'experiments/engine/runner.py': '"""It."""\nfrom experiments.engine import stages\nX = 1\n',
  'experiments/engine/stages.py': 'from experiments.deeper.rules import RULE\n',
  'experiments/deeper/rules.py': 'RULE = 2\n',
  'experiments/report.py': 'TITLE = "a page"\n',
}


def write_tree(folder, **changes: str):
  """A tree of sources in a folder; a change names a file without its ending."""
  texts = SOURCES | {f'{name}.py': text for name, text in changes.items()}
  for name, text in texts.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
  return folder


@pytest.mark.parametrize(
  ('name', 'text', 'same'),
  [
    ('mamljax/attacks/loss', 'def score(x):\n  return 2 * x\n', False),
    ('mamljax/attacks/another', 'X = 1\n', False),
    ('experiments/engine/runner', 'from experiments.engine import stages\nX = 2\n', False),
    ('experiments/deeper/rules', 'RULE = 3\n', False),
    ('experiments/report', 'TITLE = "another page"\n', True),
    ('mamljax/attacks/loss', 'def score(x):\n  """Says x."""\n\n  return x  # so\n', True),
    (
      'experiments/engine/runner',
      '"""Other words."""\nfrom experiments.engine import stages\nX = 1',
      True,
    ),
  ],
)
def test_an_edit_of_what_computes_makes_another_key(tmp_path, name, text, same):
  """104 trials of the old code and 1,896 of the new made one cell, in a tree without git."""
  before = provenance.source_key(root=write_tree(tmp_path / 'before'))
  assert (
    provenance.source_key(root=write_tree(tmp_path / 'after', **{name: text})) == before
  ) == same


def test_the_runner_is_among_the_sources_that_count(monkeypatch, tmp_path):
  """A module that a move of files leaves out would be edited unseen."""
  found = {
    path.name for path in provenance._reached(provenance.ROOT, 'experiments.engine.runner')
  }
  assert found >= {
    'runner.py',
    'phases.py',
    'resumable.py',
    'setting.py',
    'models.py',
    'cell.py',
  }
  assert not found & {'sweep.py', 'report.py', 'status.py', 'leases.py'}


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('jax_enable_x64', True),
    ('jax_threefry_partitionable', False),
    ('jax_default_prng_impl', 'rbg'),
    ('jax_default_matmul_precision', 'bfloat16'),
    ('jax_numpy_dtype_promotion', 'strict'),
    ('jax_random_seed_offset', 1),
    ('jax_softmax_custom_jvp', True),
  ],
)
def test_a_setting_that_moves_numbers_makes_another_key(name, value):
  """JAX_ENABLE_X64=1 gave other scores in the same file; half and half after a stop."""
  key, before = provenance.code_key(), jax.config.values[name]
  try:
    jax.config.update(name, value)
    assert provenance.code_key() != key
  finally:
    jax.config.update(name, before)


@pytest.mark.parametrize(
  ('name', 'value', 'same'),
  [
    ('XLA_FLAGS', '--xla_cpu_enable_fast_math=true', False),
    ('NVIDIA_TF32_OVERRIDE', '1', False),
    ('XLA_FLAGS', '--xla_force_host_platform_device_count=3 --xla_dump_to=x', True),
  ],
)
def test_flags_of_compilers_count_if_they_move_numbers(monkeypatch, name, value, same):
  """Fast mathematics is other mathematics; the number of devices must change nothing."""
  monkeypatch.delenv(name, raising=False)
  key = provenance.code_key()
  monkeypatch.setenv(name, value)
  assert (provenance.code_key() == key) == same


def test_what_is_kept_and_where_it_runs_makes_no_other_key():
  """Else each machine with a cache of its own would compute everything anew."""
  silent = {'jax_compilation_cache_dir', 'jax_num_cpu_devices', 'jax_platforms'}
  assert silent <= set(jax.config.values)
  assert not silent & set(provenance.numeric_settings())
