"""No change makes mamljax dearer unseen: in arithmetic, in memory or in compilations.

Seconds are not tested: they are the machine's. The benchmark measures those.
"""

import json

import pytest

from tests import compiled, costs

pytestmark = pytest.mark.optimised

COMMITTED = json.loads(costs.PATH.read_text())
# XLA may lay memory out a little otherwise on another processor.
TOLERANCE = {'compiled_bytes': 0.15}
REMEDY = 'If this is meant: python -m tests.costs'
THEIRS = {key: COMMITTED[key] for key in costs.versions()}

elsewhere = pytest.mark.skipif(
  costs.versions() != THEIRS,
  reason=f'the committed costs are of {THEIRS}, this is {costs.versions()}',
)


def test_every_program_has_committed_costs():
  """Else one is measured for nothing."""
  assert list(COMMITTED['programs']) == list(costs.PROGRAMS)


@elsewhere
@pytest.mark.parametrize('name', costs.PROGRAMS)
def test_costs_are_those_committed(name):
  """Fewer are told, too, so that the next rise is measured from there."""
  found = costs.measure(name)
  moved = list(costs.changes(COMMITTED['programs'][name], found, tolerance=TOLERANCE))
  assert not moved, f'{name}: {"; ".join(moved)}. {REMEDY}'


@elsewhere
def test_programs_that_are_compiled_are_those_committed():
  """One program more is up to seconds more until an audit or a sweep says something."""
  moved = list(costs.changes(COMMITTED['compiled'], compiled.count(), tolerance={}))
  assert not moved, f'{"; ".join(moved)}. {REMEDY}'


def test_a_program_more_is_told_by_name():
  """Once more, for the first time, or no more: a reader must see which."""
  before, now = {'audit: a': 1, 'audit: b': 2}, {'audit: a': 2, 'audit: c': 1}
  assert list(costs.changes(before, now, tolerance={})) == [
    'audit: a was 1 and is 2 (+100.0%)',
    'audit: b was 2 and is 0 (-100.0%)',
    'audit: c was 0 and is 1',
  ]


def test_a_sweep_compiles_once():
  """Over every rate, weight and noise: a committed number above 1 would say otherwise."""
  counts = {name: found['compilations'] for name, found in COMMITTED['programs'].items()}
  assert counts == dict.fromkeys(costs.PROGRAMS, 1)


def test_a_change_is_told_by_name_and_size():
  """A reader must see which number moved and how far, and noise must not be told."""
  before = {'flops': 1000, 'compiled_bytes': 1000, 'compilations': 1}
  now = {'flops': 1100, 'compiled_bytes': 1100, 'compilations': 2}
  assert list(costs.changes(before, now, tolerance=TOLERANCE)) == [
    'flops was 1,000 and is 1,100 (+10.0%)',
    'compilations was 1 and is 2 (+100.0%)',
  ]
  fewer = before | {'flops': 900, 'compiled_bytes': 500}
  assert len(list(costs.changes(before, fewer, tolerance=TOLERANCE))) == 2
