"""Plan of an audit: all that its scores depend on, and the names by which they are kept."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import jax

from mamljax.attacks.base import Attack, tell
from mamljax.audit.sequential import Looks
from mamljax.audit.trials import Rules
from mamljax.reports import fingerprints
from mamljax.reports.choice import Choice
from mamljax.reports.setup import Setup, scoring, sending
from mamljax.types import Pool

CHUNK = 8  # trials computed together on a device
# Of a costly attack, on a CPU: no slower together, and its pace is known four times as early.
_FEW = 2
VERSION = 1  # of the streams of randomness, part of each fingerprint

Files = Mapping[tuple[str, str], str]  # of phase and attack


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
    chosen: the attacks.
    phases: calibration and reported trials.
    looks: at reported trials, at which an attack may end.
    seed: of all randomness.
  """

  setup: Setup
  rules: Rules
  chosen: Choice
  phases: tuple[Phase, Phase]
  looks: Looks
  seed: int

  @property
  def attacks(self) -> Mapping[str, Attack]:
    """The attacks by name."""
    return self.chosen.attacks

  @property
  def trials(self) -> int:
    """The number of trials of both phases, at most."""
    return sum(phase.trials for phase in self.phases)

  def chunk(self, name: str) -> int:
    """The number of trials of an attack that are computed together on a device."""
    is_slow = name in self.chosen.costly and jax.default_backend() == 'cpu'
    return _FEW if is_slow else CHUNK

  def key(self, stream: int) -> jax.Array:
    """The key of a stream of randomness; 0 is that of preparations."""
    return jax.random.fold_in(jax.random.key(self.seed), stream)


def plain_names(plan: Plan) -> Files:
  """Names of the scores of each phase and attack that are kept in memory alone."""
  at = itertools.product((phase.name for phase in plan.phases), plan.attacks)
  return {names: '-'.join(names) for names in at}


def of_setting(setup: Setup, rules: Rules, *, seed: int | jax.Array) -> str:
  """The fingerprint of what learners send and the adversary knows, before any attack."""
  sent = sending(setup.knowledge, setup.shape, inner=setup.inner, defence=setup.defence)
  return fingerprints.of(
    VERSION,
    jax.__version__,
    jax.default_backend(),
    seed,
    str(rules),
    fingerprints.of_computation(sent[0], *sent[1]),
    (setup.knowledge, setup.inner, setup.defence),
  )


def of_attack(attack: Attack, setup: Setup) -> str:
  """The fingerprint of what an attack computes; its options are a part beside it."""
  score, arguments = scoring(attack, tell(attack, setup.knowledge), setup)
  return fingerprints.of_computation(score, *arguments)


def fingerprinted(plan: Plan) -> Files:
  """Names of the files of each phase and attack, by all that its scores depend on."""
  shared = of_setting(plan.setup, plan.rules, seed=plan.seed)
  found = {}
  for name, attack in plan.attacks.items():
    computed = of_attack(attack, plan.setup)
    for phase in plan.phases:
      own = fingerprints.of(
        shared, computed, attack, plan.chunk(name), phase.stream, phase.pool
      )
      found[phase.name, name] = f'{name}-{phase.name}-{own}'
  return found
