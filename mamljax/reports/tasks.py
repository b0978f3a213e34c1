"""Audit of a model, a protocol and data of one's own: the membership game with every attack."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.attacks.base import threshold_of
from mamljax.audit.sequential import Looks, plan_looks
from mamljax.audit.trials import Rules
from mamljax.defences import DPGaussian, Gaussian, learners_of
from mamljax.errors import InputError
from mamljax.learner import resolve_defence
from mamljax.maml import as_learner, undefended
from mamljax.protocol.learner import check_target
from mamljax.reports import cautions, choice, declared, sizes
from mamljax.reports.adversary import Adversary
from mamljax.reports.budget import Budget, seconds_of
from mamljax.reports.choice import Attacks
from mamljax.reports.measures import AttackRow, Played, find, measure, strongest
from mamljax.reports.plan import Phase, Plan
from mamljax.reports.playing import Outcome, play_plan
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
  interval: float | None = None,
  budget: float | None = None,
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
    interval: half-width of an accuracy's interval, such as 0.05, at which an attack is played
      no more: `trials` are then the most. Each attack is looked at after a few numbers of
      trials, which depend on these two arguments alone, and ends by its own interval; all
      intervals and bounds of the report allow for these looks, see `audit.sequential`. What
      fewer trials do not resolve, such as a true-positive rate below 200, is left out. By
      default all trials are played.
    budget: seconds that attacks may take together. Cheap ones are played first; one that would
      not end in time is stopped after its first trials, and named in the verdict. By default
      300 for 'auto', and `math.inf`, no limit, for all other `attacks`.
    seed: seed of all randomness.
    store: a folder for the scores of what is played, from which the same call goes on after
      an interruption, with the same numbers.
    progress: show a bar; by default on a terminal only.

  Returns:
    The report. Its headline is the strongest attack; `skipped` says which were not played, and
    why. A budget changes which attacks are played, never a score of those that are.

  Raises:
    InputError: if an argument is none of the above, data are too few, or no attack applies.
    Diverged: if a learner's adaptation or gradient is not finite.
  """
  _check(data, learner, ways=ways, shots=shots, target=target, trials=trials)
  looks = plan_looks(trials, interval)
  seconds = seconds_of(budget, is_auto=choice.is_word(attacks, 'auto'))
  setup = _setup(loss_fn, params, data, learner, adversary or Adversary(), ways, shots, target)
  chosen = choice.choose(attacks, setup)
  phases = (
    Phase('calibration', 1, data.calibration, max(trials // 2, 2)),
    Phase('reported', 2, data.victims, looks.sizes[-1]),
  )
  plan = Plan(setup, Rules(ways, shots, target), chosen, phases, looks, seed)
  clock = Budget(seconds)
  options: dict[str, Any] = {'is_stored': store is not None, 'progress': progress}
  outcome = play_plan(plan, Store(store), budget=clock, **options)
  return _report(plan, outcome, clock, data, learner)


def _report(plan: Plan, outcome: Outcome, clock: Budget, data: Any, learner: Any) -> Report:
  """The report of what was played."""
  rows, chosen = _measure(plan, outcome.played, plain=declared.is_plain(learner)), plan.chosen
  worst = strongest(rows)
  return Report(
    worst=worst,
    attacks=rows,
    skipped=chosen.skipped | outcome.failed,
    late=tuple(outcome.late),
    unasked=chosen.unasked,
    finding=find(rows, worst),
    assumptions=tuple(cautions.assumptions(plan, data, learner)),
    warnings=tuple(cautions.warnings(plan, outcome, rows, clock, learner)),
    asked=_asked(plan, clock, learner),
    is_gaussian=isinstance(plan.setup.defence.outgoing, Gaussian | DPGaussian),
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
      looks=plan.looks.number,
    )
    for name, scores in played.items()
  ]
  return tuple(sorted(rows, key=lambda row: (row.accuracy.value, row.auc.value), reverse=True))


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
  learners = learners_of(resolve_defence(learner, None).outgoing)
  for name in _POOLS[1:]:
    check_ways(getattr(data, name), ways)
    sizes.check(data, name, shots=shots, learners=learners)
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


def _asked(plan: Plan, clock: Budget, learner: Any) -> dict[str, Any]:
  """The sizes of an audit."""
  return {
    **plan.rules._asdict(),
    'trials': plan.looks.most,
    **_asked_looks(plan.looks),
    'calibration_trials': plan.phases[0].trials,
    'budget': clock.seconds if np.isfinite(clock.seconds) else None,
    'seed': plan.seed,
    'references': sizes.references(plan.setup),
    'learner': declared.describe(learner),
    'defence': declared.describe_defence(plan.setup.defence, plan.setup.inner),
  }


def _asked_looks(looks: Looks) -> dict[str, Any]:
  """The half-width that ends an attack, and the looks at it; nothing where none was asked."""
  if looks.interval is None:
    return {}
  return {'interval': looks.interval, 'looks': list(looks.sizes)}
