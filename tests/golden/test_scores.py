"""The scores on record hold: to the last bit where they were made, to rounding elsewhere."""

import json

import numpy as np
import pytest

from experiments.config.attacks import PLAYED
from tests.golden import cases, recording

pytestmark = pytest.mark.optimised

CONTENT = json.loads(recording.FILE.read_bytes())
# The share of the largest score by which another machine's may differ. The signed steps of a
# reconstruction amplify rounding; the patch space counts deviations of small logarithms.
ROUNDING = {'reconstruction': 0.05, 'patch_space': 0.05, 'shadow_classifier': 0.05}


def test_every_attack_is_on_record():
  assert CONTENT['scores'].keys() == cases.OPTIONS.keys()


def test_every_attack_and_every_set_are_played_each_time():
  """Else what breaks one is seen by nobody before `make slow`."""
  quick = [label.split() for label in cases.OPTIONS if cases.is_quick(label)]
  assert {attack for attack, _ in quick} == {*PLAYED, 'combined'}
  assert {target for _, target in quick} == {'query', 'support'}


SLOW = [pytest.mark.slow]


@pytest.mark.parametrize(
  'label',
  [pytest.param(x, marks=[] if cases.is_quick(x) else SLOW) for x in cases.OPTIONS],
)
def test_scores_are_those_on_record(label):
  recorded, played = CONTENT['scores'][label], recording.play(cases.make_cell(label))
  if CONTENT['machine'] == recording.machine():
    assert played == recorded
    return
  assert played.keys() == recorded.keys()
  for name in recorded:
    wanted, found = (np.array(list(map(float.fromhex, of[name]))) for of in (recorded, played))
    allowed = ROUNDING.get(label.split()[0], 1e-3) * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=allowed)
