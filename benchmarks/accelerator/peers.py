"""PyTorch's query and support attack on the same device, where PyTorch is installed.

It runs in a process of its own, in the memory that JAX has left.
"""

import functools
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accelerator.attacking import describe, observe
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.reconstruction import ITERATIONS
from benchmarks.accelerator.sizes import Sizes
from experiments.benchmarking import problems, rows
from experiments.config.cell import Cell

# The way to differentiate, and whether `torch.compile` makes one program of it.
STYLES = {
  'sequential': ('torch_sequential', False),
  'vmapped': ('torch_func', False),
  'compiled': ('torch_func', True),
}


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Each way, on the smallest sets; nothing without PyTorch."""
  if rows.has_torch():
    for target, style in itertools.product(sizes.targets, sizes.torch_styles):
      run = functools.partial(contend, target, style)
      yield Measurement(f'{target}_{sizes.tasks[0][0] * sizes.tasks[0][1]}/{style}', run)


def contend(target: str, style: str, context: Context) -> dict[str, Any]:
  """A few iterations of the same attack on the same tasks."""
  sizes, (way, is_compiled) = context.sizes, STYLES[style]
  ways, shots = sizes.tasks[0]
  fields = {'target': target, 'ways': ways, 'shots': shots}
  cell = describe(sizes, **fields, **{'reconstruction.iterations': sizes.steps})
  units = 1 if style == 'sequential' else sizes.torch_candidates
  settings = _settings(cell, way, units) | {'is_compiled': is_compiled}
  found = _run(cell, units, settings, min(context.seconds / 2, 5))
  seconds = statistics.median(found['runs'])
  return {
    'precision': 'highest',
    'chunk': units,
    'units': units,
    'iterations': sizes.steps,
    'seconds': seconds,
    'spread': max(found['runs']) - min(found['runs']),
    'repeats': len(found['runs']),
    'compile_seconds': found['first'] - seconds,
    'unit': f'candidates of {ITERATIONS} iterations',
    'per_second': units * sizes.steps / ITERATIONS / seconds,
    'note': f'PyTorch {found["version"]} on {found["card"]}; first run less a later one',
  }


def _run(cell: Cell, units: int, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
  """Runs PyTorch on trials of a cell."""
  with tempfile.TemporaryDirectory() as folder:
    problem = Path(folder) / 'problem.npz'
    problems.write_attack(problem, cell, observe(cell, units=units))
    told = (json.dumps(settings), str(problem), str(seconds))
    command = [sys.executable, '-m', 'benchmarks.peers.on_card', *told]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
  if ended.returncode:
    raise RuntimeError((ended.stderr.strip().splitlines() or ['no message'])[-1])
  return json.loads(ended.stdout.splitlines()[-1])


def _settings(cell: Cell, style: str, units: int) -> dict[str, Any]:
  """The settings of `benchmarks.peers.work`."""
  attack = cell.attack
  return {
    'style': style,
    'kind': 'attack',
    'network': cell.model.network_name,
    'units': units,
    'activation': cell.model.activation,
    'target': cell.game.target,
    'iterations': attack.iterations,
    'learning_rate': attack.learning_rate,
    'decay': attack.decay,
    'tv_weight': attack.tv_weight,
    'inner_steps': cell.inner.steps,
    'inner_learning_rate': cell.inner.learning_rate,
  }
