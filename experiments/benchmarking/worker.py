"""A mamljax contestant: `python -m experiments.benchmarking.worker WORK DEVICES`."""

import json
import sys

import jax

from experiments.benchmarking import serving, workloads
from experiments.config.columns import read

if __name__ == '__main__':
  fields = json.loads(sys.argv[1])
  work = workloads.Work(**fields | {'cell': read(fields['cell'])})
  jax.config.update('jax_num_cpu_devices', int(sys.argv[2]))
  # A cached program of an earlier run would hide the time of compilation.
  jax.config.update('jax_enable_compilation_cache', False)
  serving.serve(lambda: workloads.prepare(work))
