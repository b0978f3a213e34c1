"""PyTorch on an accelerator: `python -m benchmarks.peers.on_card SETTINGS PROBLEM SECONDS`.

Prints a line of JSON: the seconds of each run, of the first one with compilation, and the card.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers.work import Settings, load_attack

MOST_RUNS = 20


def measure(settings: dict[str, Any], problem: str, seconds: float) -> dict[str, Any]:
  """Runs the work for so many seconds, at least twice; the first run is not among its times.

  Args:
    settings: those of `work.Settings`, and `is_compiled`.
    problem: file of the arrays.
    seconds: the time for all runs.
  """
  wrap = torch.compile if settings.pop('is_compiled') else _plain
  # float32 as mamljax has it: PyTorch's convolutions are TF32 where nothing is said.
  torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  with np.load(problem) as arrays:
    run, _ = load_attack(Settings(**settings), arrays, device=device, wrap=wrap)
  end, found = time.perf_counter() + seconds, [_time(run)]
  while len(found) < 2 or (len(found) < MOST_RUNS and time.perf_counter() + found[-1] < end):
    found.append(_time(run))
  card = torch.cuda.get_device_name() if device == 'cuda' else device
  return {'first': found[0], 'runs': found[1:], 'card': card, 'version': torch.__version__}


def _plain(function: Callable) -> Callable:
  """The function itself."""
  return function


def _time(run: Callable[[], Any]) -> float:
  """The seconds of a run, to its end on the card."""
  start = time.perf_counter()
  run()
  if torch.cuda.is_available():
    torch.cuda.synchronize()
  return time.perf_counter() - start


if __name__ == '__main__':
  print(json.dumps(measure(json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3]))))
