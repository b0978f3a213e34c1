"""The exponents that the growth figure says are those of the growth."""

import pytest

from experiments.benchmarking import growing
from experiments.benchmarking.contest import Outcome, Sample
from experiments.engine import models
from tests.experiments.configurations import make


def outcomes(power, sizes=(1, 10, 100, 1000)):
  """Contestants whose time is a power of their size, and whose memory is flat."""
  facts = {'compile_seconds': 1.0, 'flops': 5, 'compiled_bytes': 64, 'peak_bytes': 64}
  times = {size: 3.0 * size**power for size in sizes}
  return {str(s): Outcome(facts, [Sample(t, t), Sample(9 * t, t)]) for s, t in times.items()}


@pytest.mark.parametrize(
  ('power', 'word'),
  [(0, 'flat'), (1, 'linear'), (0.5, 'less than linear'), (2, 'steeper than linear')],
)
def test_exponents(power, word):
  """Of a pure power the fit is exact."""
  points = growing.points_of('ways', outcomes(power))
  found = growing.fit(points, 'cpu_seconds')
  assert found == pytest.approx((power, power, power), abs=1e-6)
  assert growing.verdict(found).startswith(f'{word}: ')
  assert growing.verdict(growing.fit(points, 'peak_bytes')).startswith('flat: 0.00')


def test_two_points_have_no_exponent():
  """They have no interval."""
  points = growing.points_of('ways', outcomes(1, sizes=(1, 2)))
  assert growing.fit(points, 'cpu_seconds') is None


def test_axes_hold_what_they_do_not_vary():
  """Else a figure shows two growths at once."""
  for axis in growing.AXES.values():
    assert not {name for _, fields in axis.points for name in fields} & set(axis.fields)
  kept, again = (growing.AXES[f'inner_steps{end}'] for end in ('', '_remat'))
  assert again._replace(label=kept.label, remat=False) == kept


@pytest.mark.parametrize('name', growing.AXES)
def test_every_point_has_the_images_it_needs(name):
  """Else a run fails at its last point, after minutes."""
  axis = growing.AXES[name]
  cells = [make(**axis.fields, **fields) for _, fields in axis.points]
  for cell in cells:
    assert models.splits_of(cell, None).victims.images.size > 0
  if name == 'data_size':
    assert [cell.task.ways * cell.task.shots for cell in cells] == [
      size for size, _ in axis.points
    ]
