"""Entries of JAX's compilation cache that were cut short."""

import os
import subprocess
import sys

from tests.experiments.tiny import ROOT

SCRIPT = """
import sys
from pathlib import Path
from experiments.process import cli
import jax

cli.cache_compilations()
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
compiled = jax.jit(lambda x: x + 1)
for cut in (0, 40):
  for attempt in range(4):
    jax.clear_caches()
    compiled(1.0)
    for path in Path(sys.argv[1]).glob('*-cache') if attempt == 0 else ():
      path.write_bytes(path.read_bytes()[:cut])
"""


def test_an_entry_that_was_cut_short_was_compiled_again_for_ever(tmp_path):
  """JAX warned of it in each run, and never replaced it."""
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT, str(tmp_path)],
    cwd=ROOT,
    env=os.environ | {'JAX_COMPILATION_CACHE_DIR': str(tmp_path)},
    capture_output=True,
    text=True,
    check=True,
  )
  entries = list(tmp_path.glob('*-cache'))
  assert done.stderr.count('is made again') == done.stderr.count('\n') == 2 * len(entries) > 0
  assert all(path.stat().st_size > 40 for path in entries)
