"""Advice on defences holds every bound by its unfavourable end, and can say 'none of these'.

The rows are made up: what was measured is not in question here.
"""

import itertools
from typing import Any

import numpy as np
import pytest

from mamljax import Defence, DPExamples, DPGaussian, Gaussian, InputError
from mamljax.audit.metrics import Rate
from mamljax.reports import wording
from mamljax.reports.defended import DefenceRow, Worst
from mamljax.reports.study import Study

WEAK, STRONG = (Defence(outgoing=DPGaussian(1.0, noise)) for noise in (1.0, 4.0))
PLAIN = Defence(query=Gaussian(0.1))
EXAMPLES: Any = {
  'defence': Defence(outgoing=DPExamples(1.0, 4.0)),
  'narrower': {'query example': STRONG.epsilon(1e-5)},
}
ASKED = {'ways': 3, 'shots': 1, 'target': 'query', 'trials': 200, 'rounds': 1, 'delta': 1e-5}


def worst(tpr: float | None, *, informed=('noise_filter',), blind=()) -> Worst:
  """Attacks of which the upper end of the greatest true-positive rate is given."""
  rate = None if tpr is None else Rate(tpr / 2, 0.0, tpr)
  return Worst('noise_filter', Rate(0.6, 0.5, 0.7), 0.1, rate, 'noise_filter', informed, blind)


def row(name='dp', defence: Any = WEAK, *, tpr: float | None = 0.2, loss=0.1, **options):
  """A made-up row; `loss` is the upper end of what is lost."""
  learning = {'learning': Rate(0.8, 0.7, 0.9), 'loss': Rate(loss / 2, -0.1, loss)}
  measured: dict[str, Any] = {'worst': worst(tpr), **learning}
  return DefenceRow(name=name, defence=defence, **{**measured, **options})


BASE = row('none', None, tpr=1.0, loss=0.0)


def study(*rows: DefenceRow) -> Study:
  """A study of made-up rows, after that of no defence."""
  return Study(rows=(BASE, *rows), reports={}, asked=ASKED)


EPSILON = WEAK.epsilon(1e-5)
# Exactly what `row()` holds.
HELD: dict[str, Any] = {'epsilon': EPSILON, 'max_tpr': 0.2, 'max_accuracy_loss': 0.1}


@pytest.mark.parametrize('names', [*itertools.product((False, True), repeat=3)])
def test_each_bound_is_held_by_the_unfavourable_end_and_missed_beyond_it(names):
  """A bound that is compared with a mean, or forgotten beside another, recommends a leak."""
  missed = [name for name, is_missed in zip(HELD, names, strict=True) if is_missed]
  bounds: dict[str, Any] = {
    name: value * (1 - 1e-6 * (name in missed)) for name, value in HELD.items()
  }
  found = study(row()).recommend(**bounds)
  assert len(found.reasons['dp']) == len(missed)
  assert found.name == (None if missed else 'dp')
  assert found.defence is (None if missed else WEAK)
  assert found.reason.startswith('The only defence does not' if missed else 'dp holds')
  assert all(why in found.reason for why in found.reasons['dp'])


UNMEASURED = {
  'epsilon': [
    row(defence=PLAIN),
    row(defence=Defence(outgoing=Gaussian(1.0))),
    row(defence=Defence(outgoing=DPGaussian(1.0, 0.0))),
    row(**EXAMPLES),
  ],
  'max_tpr': [
    row(tpr=None),
    row(worst=None, failure='it diverged'),
    row(worst=worst(0.0, informed=(), blind=('loss',))),
  ],
  'max_accuracy_loss': [DefenceRow(name='dp', defence=WEAK, worst=worst(0.2))],
}
GENEROUS: dict[str, Any] = {'epsilon': 1e9, 'max_tpr': 1.0, 'max_accuracy_loss': 1.0}


@pytest.mark.parametrize(
  ('bound', 'given'),
  [(bound, given) for bound, rows in UNMEASURED.items() for given in rows],
)
def test_what_was_not_measured_or_is_not_guaranteed_holds_no_bound(bound, given):
  """However generous the bound: nothing is known of what it bounds."""
  found = study(given).recommend(**{bound: GENEROUS[bound]})
  assert found.defence is None
  assert len(found.reasons['dp']) == 1
  others = {name: value for name, value in GENEROUS.items() if name != bound}
  assert study(given).recommend(**others).name == 'dp'


def test_a_guarantee_for_less_than_a_task_says_for_what():
  """Else it would be taken for that of a task, or not be seen at all."""
  part = row(**EXAMPLES)
  assert part.guarantee == f'{wording.at_most(STRONG.epsilon(1e-5))} (query example)'
  reason = study(part).recommend(epsilon=1e9).reason
  assert 'nothing for a whole task, only for one example of the query set' in reason


def test_a_model_at_chance_holds_nothing_whatever_is_asked():
  """Else noise that drowns everything is the best defence there is."""
  chance = row(learning=Rate(0.34, 1 / 3, 0.36))
  for name, bound in GENEROUS.items():
    found = study(chance).recommend(**{name: bound})
    assert found.defence is None
    assert 'not shown to learn' in found.reason


def test_a_model_that_gains_nothing_by_training_holds_nothing():
  """Noise that drowns every message leaves the model what it was, which may be above chance."""
  same = row(learning=Rate(0.6, 0.55, 0.65))
  for untrained, is_held in ((0.54, True), (0.56, False)):
    begin = Rate(untrained - 0.05, untrained - 0.1, untrained)
    found = Study(rows=(BASE, same), reports={}, asked=ASKED, untrained=begin)
    assert (found.recommend(max_tpr=0.5).name == 'dp') is is_held


@pytest.mark.parametrize(
  ('defended', 'title'),
  [
    ({}, 'Protects by half, and learns: dp'),
    ({'learning': Rate(0.34, 0.3, 0.36)}, 'No defence here protects and learns'),
    ({'accuracy': Rate(0.7, 0.6, 0.76)}, 'No defence here protects and learns'),
    ({'informed': ()}, 'No defence here protects and learns'),
    ({'learning': None}, 'Learning was not measured'),
    ({'base': Rate(0.55, 0.49, 0.6)}, 'nothing is told of defences'),
    ({'bare_learning': Rate(0.36, 0.3, 0.4)}, 'costs are open'),
  ],
)
def test_the_picture_says_whether_anything_protects_and_learns(defended, title):
  """By unfavourable ends, and never of a defence that no attack models."""
  given = {'accuracy': Rate(0.6, 0.5, 0.7), 'informed': ('noise_filter',), **defended}
  learning = given.get('learning', Rate(0.8, 0.7, 0.9))
  bare = worst(1.0)._replace(accuracy=given.get('base', Rate(1, 0.9, 1)))
  attacked = worst(0.2)._replace(accuracy=given['accuracy'], informed=given['informed'])
  options = {'learning': given['bare_learning']} if 'bare_learning' in given else {}
  rows = row('none', None, worst=bare, **options), row(worst=attacked, learning=learning)
  found = Study(rows=rows, reports={}, asked=ASKED)
  assert title in found.plot().get_title()


def test_the_least_loss_is_recommended_then_the_least_worst_attack():
  """By the unfavourable ends, and what was not measured last."""
  rows = [
    row('dear', loss=0.3),
    row('cheap and leaky', loss=0.1, tpr=0.5),
    row('cheap', loss=0.1, tpr=0.4),
    DefenceRow(name='unknown', defence=STRONG, worst=worst(0.0)),
  ]
  for order in itertools.permutations(rows):
    assert study(*order).recommend(max_tpr=1.0).name == 'cheap'
    assert study(*order).recommend(max_tpr=0.3).name == 'dear'
  assert study(rows[3]).recommend(epsilon=8.0).defence is STRONG


def test_no_defence_is_never_recommended_and_said_to_hold_where_it_does():
  """`defence` is None for none of these alone."""
  found = study(row(tpr=1.0)).recommend(max_tpr=1.0)
  assert found.name == 'dp'
  assert 'without a defence holds it, too' in found.reason
  assert study(row(loss=0.2)).recommend(max_accuracy_loss=0.1).defence is None
  assert 'without a defence' not in study(row()).recommend(epsilon=EPSILON).reason


def test_rounds_are_those_of_the_study_or_those_asked_for():
  """A guarantee of one round says little of a hundred."""
  over = WEAK.epsilon(1e-5, rounds=100)
  assert study(row()).recommend(epsilon=EPSILON, rounds=100).defence is None
  found = study(row()).recommend(epsilon=over, rounds=100)
  assert found.name == 'dp'
  assert 'over 100 rounds' in found.reason
  assert any('on one update' in text for text in found.warnings)
  long = Study(rows=(BASE, row()), reports={}, asked={**ASKED, 'rounds': 100})
  assert long.recommend(epsilon=EPSILON).defence is None
  assert long.recommend(epsilon=EPSILON, rounds=1).name == 'dp'


def test_warnings_of_the_defence_come_with_the_advice():
  """A warning that more may be found than was measured stands where one decides."""
  found = study(row(warnings=('Left out for time: x.',))).recommend(max_tpr=0.5)
  assert 'Left out for time: x.' in str(found)
  assert 'No guarantee was asked for' in str(found)
  assert not study(row()).recommend(epsilon=EPSILON).warnings


@pytest.mark.parametrize('epsilon', [1e-6, 0.123456, 1.9931, 9.997256, 1234.56, 3e7])
def test_a_printed_guarantee_is_no_better_than_the_guarantee(epsilon):
  """Rounded down it is another promise."""
  shown = float(wording.at_most(epsilon))
  assert epsilon <= shown < 1.01 * epsilon


def test_nothing_is_ever_called_safe():
  """The tool measures what attacks find, which is no proof."""
  rows = row(), row('plain', PLAIN), row('lost', worst=None, failure='it diverged')
  found = study(*rows)
  texts = [str(found), found.to_json(), repr(found)]
  texts += [str(found.recommend(**{name: bound})) for name, bound in GENEROUS.items()]
  texts += [str(found.recommend(max_tpr=0.0)), str(found.recommend(**HELD))]
  assert not any('safe' in text.lower() for text in texts)
  assert found.row('plain').cells[1] == 'none'


@pytest.mark.parametrize(
  ('bounds', 'words'),
  [
    ({}, 'needs a bound'),
    ({'rounds': 3}, 'needs a bound'),
    ({'epsilon': 0}, 'epsilon must be a finite number above 0'),
    ({'epsilon': np.inf}, 'epsilon must'),
    ({'epsilon': np.nan}, 'epsilon must'),
    ({'epsilon': True}, 'epsilon must'),
    ({'epsilon': '8'}, "not '8'"),
    ({'epsilon': 8, 'rounds': 0}, 'rounds must be 1 or more'),
    ({'epsilon': 8, 'rounds': 1.5}, 'rounds must be a whole number'),
    ({'max_tpr': -0.1}, 'max_tpr must be a number from 0 to 1'),
    ({'max_tpr': 10}, 'max_tpr must'),
    ({'max_tpr': np.nan}, 'max_tpr must'),
    ({'max_accuracy_loss': 5}, 'max_accuracy_loss must'),
    ({'max_accuracy_loss': -1}, 'max_accuracy_loss must'),
  ],
)
def test_bounds_that_cannot_be_meant_are_refused(bounds, words):
  """A bound in per cent, or of nothing, would be held by everything or by nothing."""
  with pytest.raises(InputError, match=words) as refused:
    study(row()).recommend(**bounds)
  assert '\n' not in str(refused.value)
