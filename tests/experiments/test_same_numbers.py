"""The same numbers on any number of devices and cores: which to the bit, which to rounding.

XLA cuts the long sums of a matrix product into as many parts as it has threads: one for each
core or device. That moves the last bits of closed forms, and of nothing else.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.experiments import every_attack
from tests.experiments.tiny import ROOT

# The share of the largest score by which another machine's may differ. The patch space counts
# deviations of small logarithms, on few public images here.
ROUNDING = {'patch_space': 0.05}
EXACT = {'reconstruction', 'gradient_cosine', 'gradient_cosine_z', 'loss'}
SHOWN = ['row_space query', 'patch_space query', 'gradient_cosine query']


def played(labels: list[str], *, devices: int, cores: int) -> dict[str, list[str]]:
  """What another process makes of them, bound to so many cores before it starts a thread."""
  usable = os.sched_getaffinity(0)
  os.sched_setaffinity(0, sorted(usable)[:cores])  # a child inherits it
  try:
    process = subprocess.Popen(
      [sys.executable, '-m', 'tests.experiments.every_attack', *labels],
      cwd=ROOT,
      env=os.environ | {'JAX_NUM_CPU_DEVICES': str(devices)},
      stdout=subprocess.PIPE,
      text=True,
    )
  finally:
    os.sched_setaffinity(0, usable)
  out, _ = process.communicate(timeout=3600)
  assert process.returncode == 0
  return json.loads(out.splitlines()[-1])


def apart(one: list[str], other: list[str]) -> float:
  """The farthest two scores, in units of the largest."""
  first, second = (np.array([float.fromhex(text) for text in found]) for found in (one, other))
  return float(np.max(np.abs(first - second)) / np.max(np.abs(first)))


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='Linux binds processes')
@pytest.mark.parametrize(
  ('labels', 'machines'),
  [
    pytest.param(SHOWN, [(1, 1), (4, 64)], marks=pytest.mark.slow, id='some'),
    pytest.param(
      every_attack.ATTACKS,
      [(1, 1), (1, 64), (2, 64), (4, 64)],
      marks=pytest.mark.slow,
      id='every attack',
    ),
  ],
)
def test_bits_were_promised_where_only_rounding_is_the_same(labels, machines):
  """BUILD said 'bit for bit' of closed forms, whose sums depend on the number of threads."""
  first, *others = (played(labels, devices=d, cores=c) for d, c in machines)
  for label in labels:
    attack = label.split()[0]
    allowed = 0.0 if attack in EXACT else ROUNDING.get(attack, 1e-4)
    assert max(apart(first[label], other[label]) for other in others) <= allowed, label
