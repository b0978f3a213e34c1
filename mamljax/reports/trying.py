"""Choice of the attack on one update: each is tried on simulated tasks of public images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mamljax.attacks.base import Attack
from mamljax.audit.compiling import quickly
from mamljax.errors import InputError
from mamljax.reports import simulation
from mamljax.reports.budget import GRACE, LATE
from mamljax.reports.desk import Asked, Desk
from mamljax.reports.questioning import SIMULATE, Question

ENOUGH = 0.97  # AUC on simulated tasks beyond which costly attacks are not tried


class Chosen(NamedTuple):
  """The attack that was chosen.

  Attributes:
    name: its name.
    attack: the attack.
    power: of each attack that was tried the AUC on simulated tasks.
    skipped: of each other attack the reason.
    late: names of those that were left out for time.
  """

  name: str
  attack: Attack
  power: dict[str, float]
  skipped: dict[str, str]
  late: tuple[str, ...] = ()


class Trial(NamedTuple):
  """Trial of one attack.

  Attributes:
    tasks: images of simulated tasks, which it scores now.
    rounds: images that it scores if it is chosen.
    reserve: seconds that the best before it needs for these.
  """

  tasks: Asked
  rounds: Sequence[Asked]
  reserve: float


def the_only(desk: Desk) -> Chosen:
  """The attack that is given by itself, untried."""
  name, attack = next(iter(desk.chosen.attacks.items()))
  return Chosen(name, attack, {}, dict(desk.chosen.skipped))


def choose_attack(desk: Desk, rounds: Sequence[Asked]) -> Chosen:
  """The attack with the greatest AUC on simulated tasks, of those that end in time.

  Costly attacks are tried only where the others leave something to find. No candidate and none
  of the images that they are ranked among is looked at.

  Args:
    desk: where attacks score.
    rounds: images that the chosen one has to score, for which time is left.

  Raises:
    InputError: if no attack applies, or none ends in time.
  """
  tasks, chosen = simulated(desk.question), desk.chosen
  skipped, power, reserve = dict(chosen.skipped), {}, 0.0
  for name in chosen.attacks:
    best = max(power, key=power.__getitem__, default='')
    spared = chosen.is_auto and name in chosen.costly
    if spared and power.get(best, 0) >= ENOUGH:
      reason = f'left out for its cost: {best} tells enough of simulated tasks already'
    else:
      reason = try_attack(desk, name, Trial(tasks, rounds, reserve))
    if reason:
      skipped[name] = reason
      desk.bar.leave_out(tasks.size)
      continue
    power[name] = simulation.power(desk.kept(name, tasks).scores)
    if power[name] > power.get(best, -1):
      reserve = desk.ahead(name, tasks, rounds)
  if not power:
    reasons = '; '.join(skipped[name] for name in chosen.attacks)
    raise InputError(f'no attack could be tried: {reasons}')
  late = (name for name, reason in skipped.items() if reason.startswith(LATE))
  best = max(power, key=power.__getitem__)
  return Chosen(best, chosen.attacks[best], power, skipped, tuple(late))


def try_attack(desk: Desk, name: str, trial: Trial) -> str | None:
  """Scores simulated tasks with an attack; the reason why it cannot, or is stopped, or None."""
  if desk.budget.left <= 0 and desk.left(name, [trial.tasks]):
    return desk.budget.unbegun()
  try:
    return _stopped(desk, name, trial)
  except InputError as error:
    return str(error)


def _stopped(desk: Desk, name: str, trial: Trial) -> str | None:
  """Scores simulated tasks; the reason why that was stopped, or None."""
  budget = desk.budget
  limit = budget.seconds
  for pace in desk.score(name, trial.tasks):
    then = max(desk.ahead(name, trial.tasks, trial.rounds), trial.reserve)
    if budget.spent + pace.ahead + then > limit:
      count = sum(one.size for one in (trial.tasks, *trial.rounds))
      return budget.too_slow(pace.each, count, of='images')
    limit = GRACE * budget.seconds
  return None


def simulated(question: Question) -> Asked:
  """Images that are asked about in simulated tasks, each with an update of its own."""
  key, setup, rules = question.stream(SIMULATE), question.setup, question.rules
  learner = setup.knowledge, setup.inner, setup.defence
  kinds = tuple(map(type, (setup.inner, *setup.defence)))
  pool = question.parts.simulated
  options: Any = {'rules': rules, 'kinds': kinds}
  simulate, _ = quickly(simulation.simulate, key, pool, learner, **options)
  found = simulate(key, pool, learner)
  return Asked('simulated', setup.knowledge.params, key, *found, is_shared=False, source=pool)
