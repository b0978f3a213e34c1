"""Table of the attacks that play an audit: each is prepared, and watched, or left out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mamljax.attacks.base import threshold_of
from mamljax.audit.compiling import quickly
from mamljax.audit.side_by_side import Player, Scored, make_player, play_side_by_side
from mamljax.errors import InputError
from mamljax.reports.budget import Budget, Pace
from mamljax.reports.measures import calibration_accuracy, right_decisions
from mamljax.reports.plan import Files, Phase, Plan
from mamljax.reports.progress import Progress
from mamljax.reports.store import Store
from mamljax.reports.wording import duration

ENOUGH = 0.97  # accuracy on calibration trials beyond which costly attacks are left out


class Table(NamedTuple):
  """The attacks at the table: those that were prepared, and why others left it.

  Attributes:
    plan: what is played.
    store: where scores are found and kept.
    files: names of scores, by phase and attack.
    players: attacks that were prepared.
    failed: of those that are played no more the reasons.
    late: the seconds that those that were stopped for time would have taken more.
    ended: of those that are played to their end the number of reported trials.
    budget: the time that all may take.
    bar: shows how far they are.
  """

  plan: Plan
  store: Store
  files: Files
  players: dict[str, Player]
  failed: dict[str, str]
  late: dict[str, float | None]
  ended: dict[str, int]
  budget: Budget
  bar: Progress

  def done(self, phase: Phase, name: str) -> int:
    """The number of trials of a phase that an attack has scored already."""
    kept = len(self.store.load(self.files[phase.name, name]).scores)
    return min(kept, phase.trials)

  def left(self, name: str) -> int:
    """The number of trials that are left to an attack, at most."""
    if name in self.ended:
      return 0
    return self.plan.trials - sum(self.done(phase, name) for phase in self.plan.phases)

  def play(self, names: Sequence[str]) -> None:
    """Plays both phases with attacks of one chunk, and keeps scores after each block.

    The second is played from look to look, by those that have not ended.
    """
    calibration, reported = self.plan.phases
    self.play_phase(calibration, names)
    for size in self.plan.looks.sizes:
      self.look(names)
      going = [name for name in names if name not in self.ended | self.failed]
      self.play_phase(reported._replace(trials=size), going)
    self.look(names)

  def look(self, names: Sequence[str]) -> None:
    """Ends those attacks that have played enough."""
    for name in names:
      if name in self.failed or name in self.ended:
        continue
      if size := self.end(name):
        self.bar.leave_out(self.left(name))
        self.budget.forget(name)
        self.ended[name] = size

  def end(self, name: str) -> int | None:
    """The number of reported trials at which an attack ends, by those that it has scored.

    None if that is not known yet.
    """
    calibration, _ = self.plan.phases
    if self.done(calibration, name) < calibration.trials:
      return None
    chosen_on, judged = (self.scores(phase, name) for phase in self.plan.phases)
    known = threshold_of(self.plan.attacks[name], self.plan.rules.target)
    return self.plan.looks.end(right_decisions(chosen_on, judged, known=known))

  def scores(self, phase: Phase, name: str) -> np.ndarray:
    """The scores of an attack that are kept, of a phase."""
    return self.store.load(self.files[phase.name, name]).scores[: phase.trials]

  def play_phase(self, phase: Phase, names: Sequence[str]) -> None:
    """Plays the trials of a phase that are left to some attacks."""
    plan = self.plan
    left = [name for name in names if self.done(phase, name) < phase.trials]
    if not left:
      return
    blocks = play_side_by_side(
      plan.key(phase.stream),
      phase.pool,
      plan.setup.knowledge,
      [player for name in left if (player := self.seat(name))],
      inner=plan.setup.inner,
      defence=plan.setup.defence,
      rules=plan.rules,
      count=phase.trials,
      chunk=plan.chunk(left[0]),
      done={name: self.done(phase, name) for name in left},
      forget=self.failed.__contains__,
      compiled=quickly,
    )
    for scored in blocks:
      self.keep(phase, scored)

  def play_if_needed(self, name: str) -> None:
    """Plays with a costly attack, if there is time, and others leave it something to find."""
    self.look([name])  # it may have ended before an interruption
    best, accuracy = self.best()
    if self.plan.chosen.is_auto and accuracy >= ENOUGH:
      self.leave_out(
        name,
        f"left out of 'auto' for its cost: {best} decides {accuracy:.0%} of the calibration "
        f"trials rightly already; ask for it by attacks='all'",
      )
    elif self.left(name) and self.budget.left <= 0:
      self.late[name] = None
      self.leave_out(name, self.budget.unbegun())
    else:
      self.play([name])

  def seat(self, name: str) -> Player | None:
    """The attack, prepared; None if it failed."""
    if name in self.failed:
      return None
    plan = self.plan
    self.bar.say(f'{name}: is being prepared')
    try:
      if name not in self.players:
        self.players[name] = make_player(
          plan.key(0),
          name,
          plan.attacks[name],
          plan.setup.knowledge,
          compiled=plan.chosen.compiled(name),
        )
    except InputError as error:
      self.leave_out(name, str(error))
    return self.players.get(name)

  def keep(self, phase: Phase, scored: Scored) -> None:
    """Keeps the scores of a block, or the reason why they are none."""
    name, lost = scored.name, np.count_nonzero(~np.isfinite(scored.scores))
    if lost:
      return self.leave_out(
        name,
        f'failed: {lost} of {len(scored.scores)} scores are not finite, since what it computes '
        f'of what learners sent diverges',
      )
    before = self.left(name)
    self.store.add(self.files[phase.name, name], scored.start, scored.scores, scored.seconds)
    self.bar.advance(before - self.left(name))
    return self.watch(scored)

  def watch(self, scored: Scored) -> None:
    """Stops attacks that would not end in time, by the pace of a block."""
    name, running = scored.name, scored.seconds - scored.compile_seconds
    block = Pace(max(running, 0.0), len(scored.scores), self.left(name))
    for other, pace in self.budget.measure(name, block).items():
      self.stop(other, pace)
    each, ahead = running / len(scored.scores), self.budget.ahead
    self.bar.say(f'{name}: {duration(each)} a decision, {duration(ahead)} left')

  def stop(self, name: str, pace: Pace) -> None:
    """Stops an attack for time."""
    self.late[name] = pace.ahead
    self.leave_out(name, self.budget.too_slow(pace.each, self.plan.trials, of='trials'))

  def leave_out(self, name: str, reason: str) -> None:
    """Plays an attack no more."""
    self.failed[name] = reason
    self.budget.forget(name)
    self.bar.leave_out(self.left(name))

  def best(self) -> tuple[str, float]:
    """The attack with the highest accuracy on calibration trials so far, and that accuracy."""
    phase, found = self.plan.phases[0], {'no attack': 0.0}
    for name, attack in self.plan.attacks.items():
      if name not in self.failed and self.done(phase, name) >= phase.trials:
        kept = self.scores(phase, name)
        known = threshold_of(attack, self.plan.rules.target)
        found[name] = calibration_accuracy(kept, known=known)
    return max(found.items(), key=lambda one: one[1])
