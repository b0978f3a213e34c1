"""The printed tables, against themselves: a mistyped number would be a false comparison."""

import pytest

from experiments.analysis import paper

PRINTED = """
support mnist 3 2 0.68 0.74 0.66
support fashion_mnist 5 3 0.58 0.16 1
support mnist 7 3 0.51 0.66 0.51
query mnist 5 3 0.69 0.38 1
query fashion_mnist 7 1 0.82 0.96 0.75
query fashion_mnist_sample 7 3 0.7 0.46 0.88
"""


@pytest.mark.parametrize('line', PRINTED.split('\n')[1:-1])
def test_printed_values_by_eye(line):
  """Rows of Tables I and II, read from the paper a second time."""
  target, dataset, ways, shots, *values = line.split()
  assert paper.printed(target, dataset, int(ways), int(shots)) == tuple(map(float, values))


@pytest.mark.parametrize('target', ['support', 'query'])
@pytest.mark.parametrize('dataset', ['mnist', 'fashion_mnist'])
@pytest.mark.parametrize('ways', [3, 5, 7])
@pytest.mark.parametrize('shots', [1, 2, 3])
def test_printed_values_are_consistent(target, dataset, ways, shots):
  """Recall r and precision p of 50 and 50 trials give accuracy (1 + r - r (1 - p) / p) / 2.

  Some cell would be mistyped, or the paper's own numbers would not agree within rounding.
  """
  value = paper.printed(target, dataset, ways, shots)
  assert value is not None
  implied = (1 + value.recall - value.recall * (1 - value.precision) / value.precision) / 2
  assert value.accuracy == pytest.approx(implied, abs=0.02)
  assert round(50 * value.recall, 9).is_integer()
