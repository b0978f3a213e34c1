"""Assumptions and warnings of an audit of tasks, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mamljax.audit.sequential import Looks, always_enough, half_width
from mamljax.reports import choice, declared, sizes, wording
from mamljax.reports.budget import Budget
from mamljax.reports.measures import AttackRow
from mamljax.reports.plan import Plan
from mamljax.reports.playing import Outcome
from mamljax.reports.setup import Setup


def assumptions(plan: Plan, data: Any, learner: Any) -> list[str]:
  """The assumptions, in sentences."""
  rules, (calibration, _), setup = plan.rules, plan.phases, plan.setup
  most = f'{"Up to " * (plan.looks.interval is not None)}{plan.looks.most}'
  return [
    f'A task is {rules.ways}-way {rules.shots}-shot: so many classes, and images of each in '
    f'its support set and in its query set. A learner takes {declared.describe(learner)}. Its '
    f'defence: {declared.describe_defence(setup.defence, setup.inner)}.',
    f'The adversary receives one update, and asks of one image whether it is in the '
    f'{rules.target} set. Half of the images are; the others are of the same class.',
    *setup.adversary.describe(rules.target),
    *_about_references(setup, data),
    *wording.remarks('data', getattr(data, 'notes', ())),
    *wording.numbered(getattr(data, 'classes', ()), 'classes'),
    f'{most} trials, each on a task of its own; {calibration.trials} trials on other images '
    f'chose the thresholds.',
    *_about_looks(plan.looks),
    'The interval of the strongest attack is for the accuracy of the best of the attacks that '
    'were played, at 95 %, and allows for its choice among them; other intervals are for one '
    'attack alone. Epsilon is a lower bound at 95 %, for the exchange of one image.',
  ]


def _about_looks(looks: Looks) -> Iterator[str]:
  """The numbers of trials after which attacks could end, where they could."""
  if looks.interval is not None and looks.number > 1:
    sizes = f'{", ".join(map(str, looks.sizes[:-1]))} or {looks.sizes[-1]}'
    or_all = ', or all were played' * (looks.sizes[-1] == looks.most)
    yield (
      f'An attack ended after {sizes} trials, as soon as the interval of its own accuracy '
      f'reached no further than {100 * looks.interval:g} % to either side{or_all}. Each of '
      f'these {looks.number} looks has a share of the risk of 5 %, so that intervals and '
      f'bounds hold although play could end early.'
    )


def _about_references(setup: Setup, data: Any) -> Iterator[str]:
  """The number of public images that the adversary has."""
  count, held = sizes.references(setup), np.asarray(data.references.counts)
  if count:
    more = f', of {held.min()} that there are' * bool(held.min() > count)
    yield f'It has {sizes.images(count)} of each of {len(held)} classes that are public{more}.'


def warnings(
  plan: Plan, outcome: Outcome, rows: Sequence[AttackRow], clock: Budget, learner: Any
) -> list[str]:
  """Reasons why the leak may be greater than is reported."""
  failed = outcome.failed.items()
  return [
    *_late(outcome.late, clock),
    *_unasked(plan),
    *_blind(rows, plan.setup, learner),
    *(f'{name} {reason}' for name, reason in failed if reason.startswith('failed')),
    *_off(rows),
    *_wide(rows, plan.looks),
  ]


def _late(late: Mapping[str, float | None], clock: Budget) -> Iterator[str]:
  """Attacks that were left out for time, and the budget that would let them end."""
  if not late:
    return
  known = [seconds for seconds in late.values() if seconds is not None]
  whole = float(f'{1.25 * (clock.spent + sum(known)):.1e}')  # two digits, and some to spare
  more = ' or more' * (len(known) < len(late))
  yield (
    f'Left out for time: {", ".join(late)}. The leak may be greater: ask again with '
    f'budget={whole:g}{more} (seconds, as far as can be told), or budget=math.inf.'
  )


def _unasked(plan: Plan) -> Iterator[str]:
  """Attacks that may apply, and were not asked for."""
  names = plan.chosen.unasked
  if names and not plan.chosen.is_auto:
    one = len(names) == 1
    yield (
      f'{len(names)} attack{"" if one else "s"} that may apply {"was" if one else "were"} not '
      f"asked for, and may find more: {', '.join(names)}. attacks='all' plays every one."
    )


def _blind(rows: Sequence[AttackRow], setup: Setup, learner: Any) -> Iterator[str]:
  """Attacks that do not model the declared defence or learner."""
  reading = [row for row in rows if choice.BLIND not in row.notes]
  blind = [row.attack for row in reading if choice.DEFENCE in row.notes]
  if setup.defence.has_hooks and len(blind) == len(reading):
    yield 'No attack that was played models the declared defence: one that does may find more.'
  elif blind:
    yield (
      f'The declared defence is not modelled by: {", ".join(blind)}. One that models it may '
      f'find more.'
    )
  blind = [row.attack for row in reading if choice.LEARNER in row.notes]
  if blind:
    yield (
      f'The declared learner ({declared.describe(learner)}) is not modelled by: '
      f'{", ".join(blind)}. {"These attacks take" if len(blind) > 1 else "This attack takes"} '
      f'what is sent for a gradient at w: an attack that models the learner may find more.'
    )


def _off(rows: Sequence[AttackRow]) -> Iterator[str]:
  """Attacks whose threshold is other than was known beforehand."""
  off = [row.attack for row in rows if not row.threshold_is_known and row.has_known_threshold]
  if off:
    yield (
      f'The thresholds that {", ".join(off)} would know beforehand are off here; calibration '
      f'trials chose others.'
    )


def _wide(rows: Sequence[AttackRow], looks: Looks) -> Iterator[str]:
  """Attacks whose interval is wider than was asked for after all trials."""
  width = looks.interval
  wide = [row.attack for row in rows if width and half_width(row.accuracy) > width]
  if width and wide:
    yield (
      f'After all {looks.most} trials the interval of an accuracy reaches further than '
      f'{100 * width:g} % for {", ".join(wide)}: trials={always_enough(width)} are enough for '
      f'any accuracy.'
    )
