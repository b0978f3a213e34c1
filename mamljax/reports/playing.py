"""Trials of an audit: every attack plays the same, and goes on from what is stored."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from mamljax.attacks.base import Attack, tell, threshold_of
from mamljax.audit.side_by_side import Player, Scored, make_player, play_side_by_side
from mamljax.audit.trials import Rules
from mamljax.errors import InputError
from mamljax.reports import fingerprints
from mamljax.reports.measures import Played, calibration_accuracy
from mamljax.reports.progress import Progress
from mamljax.reports.setup import Setup, scoring, sending
from mamljax.reports.store import Store
from mamljax.types import Pool

CHUNK = 8  # trials computed together on a device
ENOUGH = 0.97  # accuracy on calibration trials beyond which costly attacks are left out
VERSION = 1  # of the streams of randomness, part of each fingerprint


class Phase(NamedTuple):
  """Trials of one purpose.

  Attributes:
    name: 'calibration' or 'reported'.
    stream: the number of its stream of randomness.
    pool: the images that its tasks are drawn from.
    trials: the number of its trials.
  """

  name: str
  stream: int
  pool: Pool
  trials: int


class Plan(NamedTuple):
  """All that the scores of an audit depend on.

  Attributes:
    setup: the setting that attacks are chosen for.
    rules: of the game.
    attacks: the attacks by name.
    costly: names of the attacks to play only where others find less than `ENOUGH`.
    phases: calibration and reported trials.
    seed: of all randomness.
  """

  setup: Setup
  rules: Rules
  attacks: Mapping[str, Attack]
  costly: tuple[str, ...]
  phases: tuple[Phase, Phase]
  seed: int

  def key(self, stream: int) -> jax.Array:
    """The key of a stream of randomness; 0 is that of preparations."""
    return jax.random.fold_in(jax.random.key(self.seed), stream)


def play_plan(
  plan: Plan, store: Store, *, is_stored: bool, progress: bool | None
) -> tuple[dict[str, Played], dict[str, str]]:
  """Plays every phase with every attack; a costly one only where others leave it to find.

  Args:
    plan: what is played.
    store: where scores are found and kept.
    is_stored: False to spare fingerprints, since nothing is found or kept on disk.
    progress: see `Progress`.

  Returns:
    The scores of each attack, and the reasons why others failed or were left out.

  Raises:
    Diverged: if a learner's adaptation or gradient is not finite.
    InputError: if every attack failed.
  """
  plain = itertools.product((phase.name for phase in plan.phases), plan.attacks)
  files = _fingerprinted(plan) if is_stored else {at: '-'.join(at) for at in plain}
  calibration, reported = plan.phases
  with Progress(total=_total(plan), done=_done(plan, store, files), shown=progress) as bar:
    table = _Table(plan, store, files, {}, {}, bar)
    table.play(calibration, [name for name in plan.attacks if name not in plan.costly])
    for name in plan.costly:
      table.play_if_needed(calibration, name)
    table.play(reported, list(plan.attacks))
  names = [name for name in plan.attacks if name not in table.failed]
  if not names:
    raise InputError('no attack could be played: ' + '; '.join(table.failed.values()))
  return {name: _played(plan, store, files, name) for name in names}, table.failed


Files = Mapping[tuple[str, str], str]  # of phase and attack


class _Table(NamedTuple):
  """The attacks at the table: those that were prepared, and why others left it."""

  plan: Plan
  store: Store
  files: Files
  players: dict[str, Player]
  failed: dict[str, str]
  bar: Progress

  def done(self, phase: Phase, name: str) -> int:
    """The number of trials that an attack has scored already."""
    return len(self.store.load(self.files[phase.name, name]).scores)

  def play(self, phase: Phase, names: Sequence[str]) -> None:
    """Plays a phase with some attacks, and keeps what is scored after each block."""
    plan = self.plan
    left = [name for name in names if self.done(phase, name) < phase.trials]
    blocks = play_side_by_side(
      plan.key(phase.stream),
      phase.pool,
      plan.setup.knowledge,
      [player for name in left if (player := self.seat(name))],
      inner=plan.setup.inner,
      defence=plan.setup.defence,
      rules=plan.rules,
      count=phase.trials,
      chunk=CHUNK,
      done={name: self.done(phase, name) for name in left},
      forget=self.failed.__contains__,
    )
    for scored in blocks:
      self.keep(phase, scored)

  def play_if_needed(self, phase: Phase, name: str) -> None:
    """Plays a phase with a costly attack, unless others find nearly all that there is."""
    best, accuracy = self.best()
    if accuracy < ENOUGH:
      return self.play(phase, [name])
    self.failed[name] = (
      f"left out of 'auto' for its cost: {best} decides {accuracy:.0%} of the calibration "
      f"trials rightly already; ask for it by attacks='all'"
    )
    return None

  def seat(self, name: str) -> Player | None:
    """The attack, prepared; None if it failed."""
    if name in self.failed:
      return None
    key, knowledge = self.plan.key(0), self.plan.setup.knowledge
    try:
      if name not in self.players:
        self.players[name] = make_player(key, name, self.plan.attacks[name], knowledge)
    except InputError as error:
      self.failed[name] = str(error)
    return self.players.get(name)

  def keep(self, phase: Phase, scored: Scored) -> None:
    """Keeps the scores of a block, or the reason why they are none."""
    lost = np.count_nonzero(~np.isfinite(scored.scores))
    if lost:
      self.failed[scored.name] = (
        f'failed: {lost} of {len(scored.scores)} scores are not finite, since what it computes '
        f'of what learners sent diverges'
      )
      return
    file = self.files[phase.name, scored.name]
    self.store.add(file, scored.start, scored.scores, scored.seconds)
    self.bar.advance(scored.name, len(scored.scores))

  def best(self) -> tuple[str, float]:
    """The attack with the highest accuracy on calibration trials so far, and that accuracy."""
    phase, found = self.plan.phases[0], {'no attack': 0.0}
    for name, attack in self.plan.attacks.items():
      if name not in self.failed and self.done(phase, name) >= phase.trials:
        kept = self.store.load(self.files[phase.name, name]).scores[: phase.trials]
        found[name] = calibration_accuracy(
          kept, known=threshold_of(attack, self.plan.rules.target)
        )
    return max(found.items(), key=lambda one: one[1])


def _total(plan: Plan) -> int:
  return len(plan.attacks) * sum(phase.trials for phase in plan.phases)


def _done(plan: Plan, store: Store, files: Files) -> int:
  """The number of scores that are kept already."""
  return sum(
    min(len(store.load(files[phase.name, name]).scores), phase.trials)
    for phase in plan.phases
    for name in plan.attacks
  )


def _played(plan: Plan, store: Store, files: Files, name: str) -> Played:
  """The scores of an attack in both phases."""
  kept = [store.load(files[phase.name, name]) for phase in plan.phases]
  scores = [x.scores[: phase.trials] for x, phase in zip(kept, plan.phases, strict=True)]
  return Played(*scores, seconds=sum(x.seconds for x in kept))


def _fingerprinted(plan: Plan) -> dict[tuple[str, str], str]:
  """The name of the file of each phase and attack, by all that its scores depend on."""
  setup = plan.setup
  sent = sending(setup.knowledge, setup.shape, inner=setup.inner, defence=setup.defence)
  shared = fingerprints.of(
    VERSION,
    jax.__version__,
    jax.default_backend(),
    CHUNK,
    plan.seed,
    str(plan.rules),
    fingerprints.of_computation(sent[0], *sent[1]),
    (setup.knowledge, setup.inner, setup.defence),
  )
  found = {}
  for name, attack in plan.attacks.items():
    score, arguments = scoring(attack, tell(attack, setup.knowledge), setup)
    computed = fingerprints.of_computation(score, *arguments)
    for phase in plan.phases:
      own = fingerprints.of(shared, computed, attack, phase.stream, phase.pool)
      found[phase.name, name] = f'{name}-{phase.name}-{own}'
  return found
