"""The worker: `python -m benchmarks.accelerator.worker SETTINGS`, all that has no row yet."""

import dataclasses
import importlib
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator import plan, schedule
from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.profiling import trace
from benchmarks.accelerator.sizes import FULL, QUICK, Sizes
from benchmarks.accelerator.timing import device_bytes

PROFILE = 60.0  # seconds that a trace may take beside a measurement
_LONGEST = 200  # characters of a reason


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker:
  """Measures what has no row, and writes a row for each.

  Attributes:
    folder: where the rows are.
    quick: whether in small.
    start: the time of the start of the whole, in seconds since 1970.
    seconds: the time of the whole.
    sections: the sections to measure.
  """

  folder: Path
  quick: bool
  start: float
  seconds: float
  sections: Sequence[str]

  @property
  def sizes(self) -> Sizes:
    """The sizes of what is measured."""
    return QUICK if self.quick else FULL

  @property
  def ledger(self) -> Ledger:
    """The rows."""
    return Ledger(self.folder)

  def work(self) -> None:
    """Measures section after section."""
    for section in self.sections:
      self._measure_section(section)

  def _measure_section(self, section: str) -> None:
    """Measures what is left of a section, each with its share of the time that is left."""
    whole = self.start + self.seconds - time.time()
    end, done = time.time() + plan.seconds_of(section, whole), self.ledger.names()
    left = [m for m in _measurements(section, self.sizes) if (section, m.name) not in done]
    for place, measurement in enumerate(left):
      remaining = end - time.time()
      row = {'failure': "not run: the section's time was used up", 'jax': jax.__version__}
      if remaining > 0:
        row = self._measure(section, measurement, remaining, remaining / (len(left) - place))
      self.ledger.add({'section': section, 'name': measurement.name} | row)
      passed = time.time() - self.start
      print(f'{passed:5.0f} s  {section}/{measurement.name}{_told(row)}', flush=True)

  def _measure(
    self, section: str, measurement: Measurement, remaining: float, share: float
  ) -> dict[str, Any]:
    """Measures, once the watcher knows until when."""
    until = time.time() + schedule.limit(share, remaining, least=self.sizes.least)
    schedule.write(self.folder, schedule.Now(section, measurement.name, until))
    return measure(measurement, Context(self.sizes, self.ledger, share))


def _measurements(section: str, sizes: Sizes) -> Iterator[Measurement]:
  """Measurements of a section."""
  return importlib.import_module(f'benchmarks.accelerator.{section}').measurements(sizes)


def measure(measurement: Measurement, context: Context) -> dict[str, Any]:
  """The columns of a measurement, or the reason why it has none.

  Whatever goes wrong is a result here, of the machine or of the code: the next row is measured.
  """
  try:
    row = dict(measurement.run(context))
  except Exception as error:
    row = {'failure': reason(error)}
  return row | {
    'device': jax.devices()[0].device_kind,
    'jax': jax.__version__,
    'peak_bytes': device_bytes('peak_bytes_in_use'),
  }


def reason(error: Exception) -> str:
  """An error in one line.

  >>> reason(ValueError('no room' + chr(10) + 'at all'))
  'ValueError: no room at all'
  """
  return f'{type(error).__name__}: {" ".join(str(error).split())}'[:_LONGEST]


def _told(row: dict[str, Any]) -> str:
  """The outcome of a row, for the log."""
  if row.get('failure'):
    return f': {row["failure"]}'
  shown = ('per_second', 'unit', 'error', 'auc', 'note')
  return ': ' + ', '.join(f'{_short(row[n])}' for n in shown if row.get(n) not in (None, ''))


def _short(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def main(settings: dict[str, Any]) -> None:
  """Measures in this process."""
  # A cached program would hide the time of compilation.
  jax.config.update('jax_enable_compilation_cache', settings.pop('cache'))
  warnings.simplefilter('ignore')
  profile = settings.pop('profile')
  worker = Worker(folder=Path(settings.pop('folder')), **settings)
  worker.work()
  if profile:
    until = time.time() + worker.sizes.least + PROFILE
    schedule.write(worker.folder, schedule.Now('reconstruction', 'profile', until))
    print(trace(worker.folder, worker.sizes))


if __name__ == '__main__':
  main(json.loads(sys.argv[1]))
