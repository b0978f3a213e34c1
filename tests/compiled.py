"""Programs that an audit and a sweep compile, counted by name.

Each is a wait for whoever runs one for the first time. They are counted in a process of its
own, `python -m tests.compiled`: what was compiled before is not compiled again.
"""

import collections
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_EVENT = '/jax/core/compile/backend_compile_duration'  # of what is found on disk, too


def count() -> dict[str, int]:
  """Number of compilations of each program, by what compiles it and by its name."""
  command = [sys.executable, '-m', 'tests.compiled']
  ended = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
  return json.loads(ended.stdout.splitlines()[-1])


def _count_here() -> dict[str, int]:
  """The counts of this process, in which nothing was compiled before."""
  import jax

  heard: list[str] = []

  def hear(event: str, duration_secs: float, **more: Any) -> None:
    del duration_secs
    if event == _EVENT:
      heard.append(more['fun_name'])

  jax.monitoring.register_event_duration_secs_listener(hear)
  counts: collections.Counter[str] = collections.Counter()
  for name, run in _RUNS.items():
    heard.clear()
    run()
    counts.update(f'{name}: {program}' for program in heard)
  return dict(sorted(counts.items()))


def _audit() -> None:
  """An audit of a small model by four attacks."""
  from mamljax import InnerLoop, audit_tasks
  from tests.reports import small

  attacks = ['loss', 'gradient_cosine', 'row_space', 'silent_units']
  model = small.loss_fn, small.params(), small.world(), InnerLoop(1, 0.1)
  audit_tasks(*model, ways=small.WAYS, shots=1, trials=16, attacks=attacks)


def _sweep() -> None:
  """The query attack on cells that differ in numbers, as in the quickstart."""
  from tests.experiments import tiny

  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    npz = tiny.write_npz(folder / 'tiny.npz')
    ended = tiny.run(tiny.arguments(npz, folder / 'out', **tiny.GRID))
  assert ended.status == 0, ended.err


_RUNS: dict[str, Callable[[], None]] = {'audit': _audit, 'sweep': _sweep}

if __name__ == '__main__':
  from tests import conftest  # noqa: F401  # JAX is set as for every test

  print(json.dumps(_count_here()))
