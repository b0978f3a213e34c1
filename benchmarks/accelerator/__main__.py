"""Measurement of an accelerator: `python -m benchmarks.accelerator --output_dir=...`.

One command for a machine that has nothing but JAX, Flax, Optax and SciPy. Writes a row for each
measurement to OUT/accelerator.csv as it is made, prints a short table last, and is done in 6
minutes. What fails (memory, an operation that is not supported, time) is a row that says so.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from benchmarks.accelerator import plan, schedule, summary, watching
from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.sizes import FULL, QUICK
from experiments.process import arguments, bounds, cli
from experiments.process.bounds import Bounds
from experiments.store import cells
from mamljax import atomic

_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out/accelerator', 'folder of the results')
_SECTIONS = flags.DEFINE_list(
  'sections', list(plan.SECTIONS), f'sections, of {", ".join(plan.SECTIONS)}'
)
_SECONDS = bounds.integer(
  'seconds', 0, Bounds(0, 100_000, 'seconds'), 'time of the whole; 0: 330, and with --quick 600'
)
_QUICK = flags.DEFINE_bool('quick', False, 'in small, for a CPU; OUT_quick')
_PROFILE = flags.DEFINE_bool('profile', False, 'trace the fastest query attack to OUT/profile')
_CACHE = flags.DEFINE_bool(
  'cache', False, "use JAX's compilation cache: times of compilation mean nothing then"
)


def main(argv: Sequence[str]) -> None:
  """Measures, then prints the table."""
  del argv
  sections = cli.chosen('section', _SECTIONS, plan.SECTIONS)
  folder = arguments.folder('output_dir', _OUTPUT_DIR.value)
  folder = cli.quick_folder(folder) if _QUICK.value else folder
  sizes = QUICK if _QUICK.value else FULL
  cells.check_output_dir(folder)
  _set_aside(folder)
  ordered = [section for section in plan.SECTIONS if section in sections]
  settings = {'sections': ordered, 'quick': _QUICK.value, 'cache': _CACHE.value}
  settings['profile'] = _PROFILE.value
  ended = watching.watch(folder, settings, seconds=_SECONDS.value or sizes.seconds)
  print(summary.format_rows(Ledger(folder).rows()))
  print(ended or f'all rows: {Ledger(folder).path}')


def _set_aside(folder: Path) -> None:
  """Renames the rows of an earlier run."""
  path = Ledger(folder).path
  schedule.forget(folder)
  if path.exists():
    atomic.set_aside(path, reason='replaced')


if __name__ == '__main__':
  cli.run(main)
