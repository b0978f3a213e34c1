"""The headline is about the strongest attacks on undefended learners, and claims no more."""

import csv
import io

from experiments.reporting.headline import make_headline
from tests.experiments.reported import make_result


def headline(*results):
  """Of cells of one run."""
  return make_headline(('a', result) for result in results)


def table(found):
  return [*csv.DictReader(io.StringIO(found.csv))]


def test_only_the_papers_own_game_counts():
  """Tuning, easier victims and defended models do not answer the question."""
  weak, strong = make_result(apart=1, ways=5, trials=400), make_result(apart=2, trials=400)
  others = [
    make_result(apart=9, ways=4, pool='calibration'),
    make_result(apart=9, ways=6, defence='query_noise', noise_scale=0.1),
    make_result(apart=9, ways=7, order=1),
  ]
  assert headline(*others) is None
  found = headline(weak, *others, strong)
  assert [(line['ways'], line['cells']) for line in table(found)] == [('3', '2')]
  query, cost = found.sentences
  assert query.startswith(
    'The query set leaks. On MNIST (sample), 3-way 1-shot, the strongest of 2 attacks decides '
    f'{strong.metrics.accuracy.value:.3f}'
  )
  assert 'the paper prints 0.92' in query
  assert cost == 'A candidate costs 0.25 s of computation on 2 \N{MULTIPLICATION SIGN} cpu.'


def test_without_an_attack_there_is_none():
  """An answer must not be invented."""
  assert headline() is None


def test_luck_is_no_leak():
  """Of 36 attacks that only guess, one beats guessing at 95 %."""
  guessing = [
    make_result(apart=0, ways=ways, shots=shots)
    for ways in range(2, 11)
    for shots in (1, 2, 3, 4)
  ]
  assert any(result.metrics.accuracy.low > 0.5 for result in guessing)
  (query, _) = headline(*guessing).sentences
  assert query.startswith('The query set shows no leak that these trials can tell.')


def test_a_cell_of_two_runs_counts_once():
  """Figures 5 to 8 share cells with the tables."""
  cells = [make_result(), make_result(), make_result(ways=4)]
  assert [line['cells'] for line in table(headline(*cells))] == ['2']


def test_the_sets_are_compared_by_their_intervals():
  """'Leaks more' is said only where the intervals are apart."""
  query, support = make_result(apart=2, trials=400), make_result(target='support', trials=400)
  _, _, comparison, _ = headline(query, support).sentences
  assert (
    comparison == 'On MNIST (sample) the intervals of the two sets overlap: neither stands out.'
  )
  guessed = make_result(apart=0, target='support', trials=400)
  _, _, comparison, _ = headline(query, guessed).sentences
  assert comparison.startswith(
    'On MNIST (sample) the query set leaks more than the support set'
  )
