"""Comparison of defences: each is audited on the same tasks, and what it costs is measured."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from mamljax import checks
from mamljax.audit.metrics import Rate
from mamljax.defences import AnyDefence, Defence, as_defence
from mamljax.defences.accounting import check_delta
from mamljax.errors import Diverged, InputError
from mamljax.maml import as_learner
from mamljax.protocol.guarantees import guarantees
from mamljax.protocol.learner import Learner
from mamljax.reports import declared
from mamljax.reports.choice import Attacks
from mamljax.reports.defended import DefenceRow, accuracy_of, loss_of, worst_of
from mamljax.reports.report import Report
from mamljax.reports.study import Study
from mamljax.reports.tasks import audit_tasks
from mamljax.types import LossFn, Params

NONE = 'none'  # name of no defence, where it is not given
Defences = Mapping[str, AnyDefence | None]
Accuracy = Callable[[Defence | None], tuple[float, float, float] | None]


def compare_defences(
  loss_fn: LossFn,
  params: Params,
  data: Any,
  learner: Any,
  defences: Defences,
  *,
  ways: int,
  shots: int,
  target: str = 'query',
  attacks: Attacks = 'auto',
  trials: int = 200,
  seed: int = 0,
  rounds: int = 1,
  delta: float = 1e-5,
  accuracy: Accuracy | None = None,
  budget: float | None = None,
  store: str | os.PathLike[str] | None = None,
  progress: bool | None = None,
) -> Study:
  """Measures defences side by side: their guarantees, the worst attack, and what they cost.

  Each defence is audited on the same tasks by an adversary who knows it, and so is no defence,
  to compare with. What a defence costs is not guessed: it is measured by `accuracy`, or left
  open.

  Args:
    loss_fn: the task's loss: `(params, Batch) -> scalar`, a mean over the batch.
    params: the parameters w that learners receive, any pytree of arrays.
    data: from `from_arrays`, as `audit_tasks` takes it.
    learner: how learners adapt and what they send, without a defence.
    defences: by name, each a `Defence` or a mechanism such as `DPGaussian`. One may be None,
      for no defence, which is added as 'none' otherwise.
    ways: classes of a task.
    shots: images of each class in each of its two sets.
    target: the set that is attacked, 'query' or 'support'.
    attacks: as of `audit_tasks`. A bound on attacks can be held only where one that models the
      defence is played.
    trials: reported trials of each defence; below 200 no TPR at 1 % FPR is measured.
    seed: seed of all randomness of the attacks.
    rounds: the messages that a learner sends of the same task, for guarantees. Attacks are
      measured on one.
    delta: of guarantees, above 0 and below 1.
    accuracy: `defence -> (value, low, high)`, the accuracy of learning under a defence with its
      interval, each in [0, 1], or None where that is not measured; None is given to it for no
      defence. `TrainedAccuracy` trains a model under each. Its method `untrained`, where it has
      one, is the accuracy before any training, which learning must then exceed; its method
      `check` refuses a defence that nothing can be trained under, before anything is played.
    budget: seconds that attacks may take together on each defence, as of `audit_tasks`.
    store: a folder for scores, as of `audit_tasks`.
    progress: show a bar for each defence; by default on a terminal only.

  Returns:
    The study, whose `recommend` says which defence to choose, if any.

  Raises:
    InputError: if an argument is none of the above.
    Diverged: if learners diverge without any defence.
  """
  named, plain = _named(defences), _undefended(learner)
  _check(rounds, delta, accuracy, named)
  sizes: dict[str, Any] = {'ways': ways, 'shots': shots, 'target': target, 'trials': trials}
  options = sizes | {'attacks': attacks, 'budget': budget, 'seed': seed}
  options |= {'store': store, 'progress': progress}
  rows: list[DefenceRow] = []
  reports: dict[str, Report] = {}
  for name, defence in named.items():
    defended = dataclasses.replace(plain, defence=defence)
    found = _audited(loss_fn, params, data, defended, **options)
    if isinstance(found, Report):
      reports[name] = found
    learning = None if accuracy is None else _learning(name, accuracy(defence))
    base = rows[0].learning if rows else learning
    told: Any = {'learner': plain, 'delta': delta, 'rounds': rounds}
    rows.append(_row(name, defence, found, learning, base, **told))
  asked = sizes | {'seed': seed, 'rounds': rounds, 'delta': delta, 'adjacency': 'replace_one'}
  asked |= {'learner': declared.describe(plain)}
  untrained = getattr(accuracy, 'untrained', lambda: None)()
  return Study(rows=tuple(rows), reports=reports, asked=asked, untrained=untrained)


def _audited(
  loss_fn: LossFn, params: Params, data: Any, learner: Any, **options: Any
) -> Report | str:
  """The audit of a learner, or the reason why there is none.

  Without a defence any reason is a mistake in the arguments, and raised.
  """
  try:
    return audit_tasks(loss_fn, params, data, learner, **options)
  except (InputError, Diverged) as error:
    if learner.defence is None:
      raise
    return str(error)


def _row(
  name: str,
  defence: Defence | None,
  found: Report | str,
  learning: Rate | None,
  base: Rate | None,
  *,
  learner: Learner,
  delta: float,
  rounds: int,
) -> DefenceRow:
  """The measures of a defence."""
  is_played = isinstance(found, Report)
  options: Any = {'delta': delta, 'rounds': rounds}
  epsilons = guarantees(defence, learner, **options) if defence else {}
  return DefenceRow(
    name=name,
    defence=defence,
    epsilon=epsilons.pop('task', None),
    narrower=epsilons,
    worst=worst_of(found) if is_played else None,
    failure='' if is_played else found,
    reconstruction=accuracy_of(found, 'reconstruction') if is_played else None,
    learning=learning,
    loss=loss_of(base, learning) if defence else learning and Rate(0.0, 0.0, 0.0),
    warnings=found.warnings if is_played else (),
  )


def _check(
  rounds: int, delta: float, accuracy: Any, named: Mapping[str, Defence | None]
) -> None:
  """Refuses what no guarantee and no cost can be made of, before anything is played."""
  check_delta(delta)
  checks.whole('rounds', rounds, least=1)
  if accuracy is not None and not callable(accuracy):
    raise InputError(f'accuracy must be a function of a defence, not {accuracy!r}')
  check = getattr(accuracy, 'check', lambda _: None)
  for name, defence in named.items():
    try:
      check(defence)
    except InputError as error:
      raise InputError(f'defence {name!r}: {error}') from None


def _undefended(learner: Any) -> Any:
  """The learner as a `Learner`, which must have no defence."""
  declared.check(learner)
  plain = as_learner(learner)
  own = as_defence(plain.defence)
  if own is not None and own.has_hooks:
    raise InputError(
      f'the learner of a comparison has no defence of its own, not {plain.defence!r}: name it '
      f'among the defences'
    )
  return plain.undefended


def _named(defences: Any) -> dict[str, Defence | None]:
  """The defences by name, None for no defence, which comes first."""
  if not isinstance(defences, Mapping):
    raise InputError(
      f"defences are given by name, such as {{'noise': DPGaussian(1.0, 2.0)}}, not {defences!r}"
    )
  named = {name: _one(name, given) for name, given in defences.items()}
  bare = [name for name, defence in named.items() if defence is None]
  if len(bare) == len(named):
    raise InputError(f'there is no defence to compare in {dict(defences)!r}')
  if len(bare) > 1:
    raise InputError(f'{bare[0]!r} and {bare[1]!r} are both no defence: leave one out')
  if not bare and NONE in named:
    raise InputError(f'{NONE!r} is the name of no defence, not of {named[NONE]!r}')
  first = bare[0] if bare else NONE
  return {first: None, **named}


def _one(name: Any, given: Any) -> Defence | None:
  """A defence, or None for one without hooks."""
  if not isinstance(name, str) or not name:
    raise InputError(f'the name of a defence must be a text, not {name!r}')
  if isinstance(given, type):
    raise InputError(f'defence {name!r} must be an object, not the class {given.__name__}')
  try:
    defence = as_defence(given)
  except InputError as error:
    raise InputError(f'defence {name!r}: {error}') from None
  return defence if defence is not None and defence.has_hooks else None


def _learning(name: str, found: Any) -> Rate | None:
  """The accuracy of learning under a defence, as it was measured, or None."""
  if found is None:
    return None
  try:
    value, low, high = map(float, found)
  except (TypeError, ValueError):
    value, low, high = 0.0, 1.0, 0.0  # in no order
  if not 0 <= low <= value <= high <= 1:
    raise InputError(
      f'accuracy must return (value, low, high) in [0, 1], such as (0.9, 0.87, 0.92): of '
      f'{name!r} it returned {found!r}'
    )
  return Rate(value, low, high)
