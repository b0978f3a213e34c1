"""Trials of an audit: every attack plays the same, and goes on from what is stored."""

from typing import NamedTuple

from mamljax.errors import InputError
from mamljax.reports.budget import Budget
from mamljax.reports.measures import Played
from mamljax.reports.plan import Files, Plan, fingerprinted, plain_names
from mamljax.reports.progress import Progress
from mamljax.reports.store import Store
from mamljax.reports.table import Table


class Outcome(NamedTuple):
  """Outcome of a plan.

  Attributes:
    played: the scores of each attack that was played.
    failed: the reasons why others failed or were left out.
    late: the seconds that each of those that were stopped for time would have taken more, at
      most; None of those that were not begun.
  """

  played: dict[str, Played]
  failed: dict[str, str]
  late: dict[str, float | None]


def play_plan(
  plan: Plan, store: Store, *, budget: Budget, is_stored: bool, progress: bool | None
) -> Outcome:
  """Plays both phases with every attack: cheap ones side by side, then each costly one.

  Args:
    plan: what is played.
    store: where scores are found and kept.
    budget: the time that all may take.
    is_stored: False to spare fingerprints, since nothing is found or kept on disk.
    progress: see `Progress`.

  Raises:
    Diverged: if a learner's adaptation or gradient is not finite.
    InputError: if every attack failed.
  """
  files = fingerprinted(plan) if is_stored else plain_names(plan)
  total = len(plan.attacks) * plan.trials
  with Progress(total=total, done=_done(plan, store, files), shown=progress) as bar:
    table = Table(plan, store, files, {}, {}, {}, {}, budget, bar)
    table.play([name for name in plan.attacks if name not in plan.chosen.costly])
    for name in plan.chosen.costly:
      table.play_if_needed(name)
  names = [name for name in plan.attacks if name not in table.failed]
  if not names:
    raise InputError('no attack could be played: ' + '; '.join(table.failed.values()))
  played = {name: _played(table, name) for name in names}
  return Outcome(played, table.failed, table.late)


def _done(plan: Plan, store: Store, files: Files) -> int:
  """The number of scores that are kept already."""
  return sum(
    min(len(store.load(files[phase.name, name]).scores), phase.trials)
    for phase in plan.phases
    for name in plan.attacks
  )


def _played(table: Table, name: str) -> Played:
  """The scores of an attack in both phases, of reported trials those up to its end."""
  phases = table.plan.phases
  calibration, reported = (table.scores(phase, name) for phase in phases)
  kept = (table.store.load(table.files[phase.name, name]) for phase in phases)
  seconds = sum(x.seconds for x in kept)
  return Played(calibration, reported[: table.ended[name]], seconds=seconds)
