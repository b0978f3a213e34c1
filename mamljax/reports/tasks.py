"""Audit of a model, a protocol and data of one's own: the membership game with every attack."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.base import threshold_of
from mamljax.audit.trials import Rules
from mamljax.errors import InputError
from mamljax.learner import resolve_defence
from mamljax.maml import as_learner, undefended
from mamljax.protocol.learner import check_target
from mamljax.reports import choice, declared
from mamljax.reports.adversary import Adversary
from mamljax.reports.choice import Attacks
from mamljax.reports.measures import AttackRow, Played, find, measure, strongest
from mamljax.reports.playing import Phase, Plan, play_plan
from mamljax.reports.report import Report
from mamljax.reports.setup import Setup, make_setup
from mamljax.reports.store import Store
from mamljax.tasks import check_ways, first_of_each
from mamljax.types import LossFn, Params

_REFERENCES = 100  # public images of each class, at most: more hardly helps, and costs
_POOLS = ('references', 'calibration', 'victims')


def audit_tasks(
  loss_fn: LossFn,
  params: Params,
  data: Any,
  learner: Any,
  *,
  ways: int,
  shots: int,
  target: str = 'query',
  adversary: Adversary | None = None,
  attacks: Attacks = 'auto',
  trials: int = 200,
  seed: int = 0,
  store: str | os.PathLike[str] | None = None,
  progress: bool | None = None,
) -> Report:
  """Measures how much one update tells of a learner's data, by every attack that applies.

  The membership game is played on tasks drawn of `data`: each attack is asked of an image
  whether it is in the task whose gradient was received, half the time rightly. Thresholds are
  chosen on tasks of `data.calibration`, and the attacks judged on tasks of `data.victims`.

  Args:
    loss_fn: the task's loss: `(params, Batch) -> scalar`, a mean over the batch.
    params: the parameters w that learners receive, any pytree of arrays.
    data: from `from_arrays`: pools `references` (what the adversary has), `calibration` and
      `victims`.
    learner: how learners adapt, what they send and what protects them: a `Learner`, or an
      `InnerLoop` without a defence.
    ways: classes of a task.
    shots: images of each class in each of its two sets.
    target: the set that the image may be in: 'query' or 'support'.
    adversary: the threat model; the strongest by default, which knows all but private data.
    attacks: 'auto', 'all' (slow ones, too), or names and attack objects of one's own.
    trials: reported trials, each on a task of its own; half as many more calibrate.
    seed: seed of all randomness.
    store: a folder for the scores of what is played, from which the same call goes on after
      an interruption, with the same numbers.
    progress: show a bar; by default on a terminal only.

  Returns:
    The report. Its headline is the strongest attack; `skipped` says which were not played.

  Raises:
    InputError: if an argument is none of the above, data are too few, or no attack applies.
    Diverged: if a learner's adaptation or gradient is not finite.
  """
  _check(data, learner, ways=ways, shots=shots, target=target, trials=trials)
  setup = _setup(loss_fn, params, data, learner, adversary or Adversary(), ways, shots, target)
  chosen = choice.choose(attacks, setup)
  phases = (
    Phase('calibration', 1, data.calibration, max(trials // 2, 2)),
    Phase('reported', 2, data.victims, trials),
  )
  plan = Plan(setup, Rules(ways, shots, target), chosen.attacks, chosen.costly, phases, seed)
  options: dict[str, Any] = {'is_stored': store is not None, 'progress': progress}
  played, failed = play_plan(plan, Store(store), **options)
  rows = _measure(plan, played, plain=declared.is_plain(learner))
  worst = strongest(rows)
  return Report(
    worst=worst,
    attacks=rows,
    skipped=chosen.skipped | failed,
    finding=find(rows, worst),
    assumptions=tuple(_assumptions(plan, learner)),
    warnings=tuple(_warnings(rows, failed, setup, learner)),
    asked=_asked(plan, learner),
  )


def _measure(plan: Plan, played: Mapping[str, Played], *, plain: bool) -> tuple[AttackRow, ...]:
  """The measures of each attack, the strongest first."""
  notes = choice.notes(plan.attacks, plan.setup, plain=plain)
  rows = [
    measure(
      name,
      scores,
      known=threshold_of(plan.attacks[name], plan.rules.target),
      notes=notes[name],
      seed=plan.seed,
    )
    for name, scores in played.items()
  ]
  return tuple(sorted(rows, key=lambda row: (row.right, row.auc.value), reverse=True))


def _check(data: Any, learner: Any, *, ways: int, shots: int, target: str, trials: int) -> None:
  """Refuses what no audit can be made of, before anything is computed."""
  declared.check(learner)
  checks.one_of('target', target, checks.TARGETS)
  check_target(as_learner(learner), target)
  for name, value in (('ways', ways), ('shots', shots)):
    checks.whole(name, value, least=1)
  checks.whole('trials', trials, least=4)
  missing = [name for name in _POOLS if not hasattr(data, name)]
  if missing:
    raise InputError(
      f'data must come from mamljax.from_arrays(inputs, labels): {type(data).__name__} has no '
      f'{missing[0]}'
    )
  for name in _POOLS[1:]:
    check_ways(getattr(data, name), ways)
    checks.pool(getattr(data, name), per_class=2 * shots + 1)
  checks.pool(data.references, per_class=1)


def _setup(
  loss_fn: LossFn,
  params: Params,
  data: Any,
  learner: Any,
  adversary: Adversary,
  ways: int,
  shots: int,
  target: str,
) -> Setup:
  """The setting: what learners do, and what the adversary knows of it."""
  inner, defence = undefended(learner), resolve_defence(learner, None)
  bounds = {'bounds': data.bounds} if hasattr(data, 'bounds') else {}
  knowledge = adversary.knowledge(
    loss_fn,
    jax.tree.map(jnp.asarray, params),
    learner=inner,
    defence=defence,
    references=first_of_each(data.references, _REFERENCES),
    target=target,
    ways=ways,
    shots=shots,
    **bounds,
  )
  return make_setup(knowledge, adversary, data.references, inner=inner, defence=defence)


def _asked(plan: Plan, learner: Any) -> dict[str, Any]:
  """The sizes of an audit."""
  calibration, reported = plan.phases
  return {
    **plan.rules._asdict(),
    'trials': reported.trials,
    'calibration_trials': calibration.trials,
    'seed': plan.seed,
    'learner': declared.describe(learner),
    'defence': declared.describe_defence(plan.setup.defence),
  }


def _assumptions(plan: Plan, learner: Any) -> list[str]:
  """The assumptions, in sentences."""
  rules, (calibration, reported), setup = plan.rules, plan.phases, plan.setup
  return [
    f'A task is {rules.ways}-way {rules.shots}-shot: so many classes, and images of each in '
    f'its support set and in its query set. A learner takes {declared.describe(learner)}. Its '
    f'defence: {declared.describe_defence(setup.defence)}.',
    f'The adversary receives one update, and asks of one image whether it is in the '
    f'{rules.target} set. Half of the images are; the others are of the same class.',
    *setup.adversary.describe(rules.target),
    f'{reported.trials} trials, each on a task of its own; {calibration.trials} trials on '
    f'other images chose the thresholds.',
    'The interval of the strongest attack is for the accuracy of the best of the attacks that '
    'were played, at 95 %, and allows for its choice among them; other intervals are for one '
    'attack alone. Epsilon is a lower bound at 95 %, for the exchange of one image.',
  ]


def _warnings(
  rows: Sequence[AttackRow], failed: dict[str, str], setup: Setup, learner: Any
) -> list[str]:
  """Reasons why the leak may be greater than is reported."""
  found = []
  blind = [row.attack for row in rows if choice.DEFENCE in row.notes]
  if len(blind) == len(rows) and any(setup.defence):
    found.append(
      'No attack that was played models the declared defence: one that does may find more.'
    )
  elif blind:
    found.append(f'The declared defence is not modelled by: {", ".join(blind)}.')
  blind = [row.attack for row in rows if choice.LEARNER in row.notes]
  if blind:
    found.append(
      f'The declared learner ({declared.describe(learner)}) is not modelled by: '
      f'{", ".join(blind)}. These attacks take what is sent for a gradient at w.'
    )
  found.extend(f'{name} {x}' for name, x in failed.items() if x.startswith('failed'))
  off = [row.attack for row in rows if not row.threshold_is_known and row.has_known_threshold]
  if off:
    found.append(
      f'The thresholds that {", ".join(off)} would know beforehand are off here; calibration '
      f'trials chose others.'
    )
  return found
