"""The plan: sections in order, each with its share of the time, and what each measures."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.sizes import Sizes


class Context(NamedTuple):
  """Sizes, earlier rows and time of a measurement.

  Attributes:
    sizes: the sizes.
    ledger: the rows so far.
    seconds: its share of the time that is left.
  """

  sizes: Sizes
  ledger: Ledger
  seconds: float


class Measurement(NamedTuple):
  """A measurement, which makes one row.

  Attributes:
    name: its name, unique in its section.
    run: makes the columns of the row.
  """

  name: str
  run: Callable[[Context], Mapping[str, Any]]


# Shares of the time; what a section leaves is the next ones'.
SECTIONS = {
  'peaks': 0.04,
  'correctness': 0.22,
  'reconstruction': 0.32,
  'closed_form': 0.12,
  'peers': 0.07,
  'training': 0.06,
  'whole': 0.17,
}


def seconds_of(section: str, left: float) -> float:
  """The time of a section that begins now, when so much is left for it and all after it.

  >>> seconds_of('whole', 12.0)
  12.0
  """
  names = [*SECTIONS]
  rest = sum(SECTIONS[name] for name in names[names.index(section) :])
  return left * SECTIONS[section] / rest
