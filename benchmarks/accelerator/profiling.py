"""A trace of the fastest query attack, for TensorBoard or Perfetto."""

from pathlib import Path

import jax

from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.reconstruction import SECTION, best_form, reconstruct
from benchmarks.accelerator.sizes import Sizes


def trace(folder: Path, sizes: Sizes) -> str:
  """Writes a trace of a few iterations to FOLDER/profile, and says of what it is."""
  ledger, task = Ledger(folder), sizes.tasks[0]
  start = f'query_{task[0] * task[1]}'
  best, form = ledger.best(SECTION, f'{start}/'), best_form(ledger, start)
  chunk = int(best['chunk']) if best else sizes.chunks[0]
  attacked = reconstruct(sizes, 'query', task, form, chunk=chunk)
  jax.block_until_ready(attacked.run())
  with jax.profiler.trace(str(folder / 'profile')):
    jax.block_until_ready(attacked.run())
  return f'{folder / "profile"}: {start}, {form}, {chunk} candidates, {sizes.steps} iterations'
