"""A PyTorch contestant: `python -m benchmarks.peers SETTINGS PROBLEM`, on one thread."""

import json
import sys
from pathlib import Path

import torch

from benchmarks.peers.work import Settings, prepare
from experiments.benchmarking import serving

if __name__ == '__main__':
  torch.set_num_threads(1)
  torch.set_num_interop_threads(1)
  described, problem = Settings(**json.loads(sys.argv[1])), Path(sys.argv[2])
  serving.serve(lambda: prepare(described, problem))
