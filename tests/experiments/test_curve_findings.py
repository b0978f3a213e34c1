"""What is said of curves: confident noise areas by their rule, trends that are there."""

import json

import numpy as np
import pytest

from experiments.analysis import curves
from experiments.analysis.curves import Area, confident_noise_area
from mamljax.errors import InputError
from tests.experiments.test_curves import SCALES, make_line, make_noisy, make_result

UNDEFENDED = {'undefended_attack': 0.9, 'undefended_learning': 0.9}


def assert_intervals(found, expected):
  """Equal lists of pairs, but for rounding."""
  np.testing.assert_allclose(np.reshape(found, (-1, 2)), np.reshape(expected, (-1, 2)))


@pytest.mark.parametrize(
  ('attack', 'learning', 'expected'),
  [
    # 0.7 keeps half of the advantage 0.4; 0.81 is 0.225 of the way from 0.9 down to 0.5.
    ((0.9, 0.7, 0.5), (0.9, 0.9, 0.5), [(0.1, 0.1 * 10**0.225)]),
    ((0.6, 0.6, 0.8), (0.7, 0.9, 0.9), [(0.01 * 10**0.55, 0.1 * 10**0.5)]),
    ((0.5, 0.5, 0.5), (0.9, 0.9, 0.9), [(0.01, 1)]),  # nothing is known beyond the ends
    ((0.9, 0.9, 0.9), (0.9, 0.9, 0.9), []),  # the attack goes on
    ((0.5, 0.5, 0.5), (0.3, 0.3, 0.3), []),  # nothing is learned
    ((0.9, 0.7, 0.9), (0.9, 0.9, 0.9), [(0.1, 0.1)]),  # a scale on its own
    ((0.7, 0.9, 0.7), (0.9, 0.9, 0.9), [(0.01, 0.01), (1, 1)]),
  ],
)
def test_areas_by_hand(attack, learning, expected):
  """The green of figures 9 to 12 would begin or end where the rule does not say."""
  assert_intervals(confident_noise_area(SCALES, attack, learning, **UNDEFENDED), expected)


def test_one_scale_is_an_area_or_none():
  """There is no line to follow."""
  assert confident_noise_area([0.1], [0.6], [0.9], **UNDEFENDED) == [(0.1, 0.1)]
  assert confident_noise_area([0.1], [0.8], [0.9], **UNDEFENDED) == []


@pytest.mark.parametrize('undefended', [0.5, 0.4])
def test_no_noise_is_needed_against_an_attack_that_fails(undefended):
  """Half of nothing would be met by luck, here and there."""
  found = confident_noise_area(
    SCALES, [0.4] * 3, [0.9] * 3, undefended_attack=undefended, undefended_learning=0.9
  )
  assert found == []


@pytest.mark.parametrize('seed', range(20))
def test_an_area_holds_the_scales_that_meet_the_rule_and_no_others(seed):
  """Against the rule itself at 2,000 scales, on zigzag curves with several areas."""
  random = np.random.default_rng(seed)
  scales = np.cumprod(random.uniform(1.5, 20, 7)) * 1e-4
  attack, learning = random.uniform(0.5, 0.9, 7), random.uniform(0.6, 0.9, 7)
  shares = {'attack_share': 0.6, 'learning_share': 0.8}
  measured = (values.tolist() for values in (scales, attack, learning))
  found = confident_noise_area(*measured, **UNDEFENDED, **shares)
  tried = np.geomspace(scales[0], scales[-1], 2000)
  attacks, learns = (np.interp(np.log(tried), np.log(scales), y) for y in (attack, learning))
  meets = (attacks - 0.5 <= 0.6 * 0.4) & (learns >= 0.8 * 0.9)
  inside = np.any([(low <= tried) & (tried <= high) for low, high in found], axis=0)
  assert np.mean(meets != inside) < 0.002  # the ends of `tried` are rounded
  ends = np.ravel(found)
  assert np.all(np.diff(ends) >= 0)
  assert len({*ends}) == len(ends)


def test_areas_are_rows_in_standard_deviations():
  """A row in relative scales would name a noise that protects nobody; numpy is no JSON."""
  cells = make_noisy('0.01*query_noise', (0.9, 0.7, 0.5), (0.9, 0.9, 0.5))
  cells += make_noisy('support_noise', (0.9, 0.9, 0.9), (0.9, 0.9, 0.9))[1:]
  query, support = curves.areas(cells)
  assert query[:3] == ('query data', '', 0.001)
  assert query[3:] == pytest.approx((1e-3 * 10**0.225, 1e-4, 0.01))
  assert support == Area('support data', '', None, None, *SCALES[::2])
  json.dumps([query, support])
  assert str(query).startswith('noise on query data: confident from 0.001 to 0.0017, of 0.0001')
  assert str(support) == 'noise on support data: no confident area, of 0.01 to 1 measured'


@pytest.mark.parametrize('missing', ['undefended', 'learning', 'local'])
def test_no_area_is_claimed_where_the_rule_does_not_apply(missing):
  """'No area' is a finding: it must not be said of what was not measured."""
  learners = 4 if missing == 'local' else 1
  cells = make_noisy('query_noise', (0.5, 0.5, 0.5), (0.9, 0.9, 0.9), learners=learners)
  if missing == 'undefended':
    del cells[0]
  if missing == 'learning':
    cells[2].extra.clear()
  assert curves.areas(cells) == []
  assert not any(p.get_alpha() for p in curves.curves(cells, 'noise_scale').axes[0].patches)


@pytest.mark.parametrize(
  ('accuracies', 'said'),
  [
    ([0.9, 0.8, 0.7, 0.6], 'falls with shots: 0.90 at 1, 0.60 at 4; slope -0.10'),
    ([0.6, 0.7, 0.8, 0.9], 'rises with shots: 0.60 at 1, 0.90 at 4; slope +0.10'),
    ([0.9, 0.92, 0.9, 0.91], 'shows no trend that these trials can tell with shots'),
    ([1.0, 1.0, 1.0, 1.0], 'shows no trend that these trials can tell with shots'),
  ],
)
def test_a_trend_is_said_where_there_is_one(accuracies, said):
  """The statements beside figures 5 to 8 come from here."""
  (trend,) = curves.trend(make_line(accuracies), 'shots')
  assert f'attack accuracy {said}' in str(trend)
  assert trend.slope == pytest.approx(np.polyfit(range(4), accuracies, 1)[0], abs=1e-12)
  assert trend.low < trend.slope < trend.high
  assert 'peaks' not in trend.statement


def test_slopes_along_noise_are_for_tenfold_noise():
  """In standard deviations the smallest would count for nothing."""
  (trend,) = curves.trend(make_noisy('query_noise', (0.9, 0.7, 0.5), [0.9] * 3), 'noise_scale')
  assert trend.slope == pytest.approx(-0.2)
  assert 'falls with noise on query data' in trend.statement
  assert 'per tenfold noise' in trend.statement


@pytest.mark.parametrize(
  ('accuracies', 'peak'),
  [
    ([0.6, 0.9, 0.8, 0.6], 'peaks with 0.90 at 2'),
    ([0.6, 0.65, 0.6, 0.6], None),  # within what 200 trials can tell
    ([0.9, 0.9, 0.6, 0.6], None),
  ],
)
def test_a_peak_is_said_where_it_is_beyond_doubt(accuracies, peak):
  """Figure 8's claim, that a partly trained model is attacked best, is no slope."""
  (trend,) = curves.trend(make_line(accuracies, 'epoch'), 'epoch')
  assert ('peaks' in trend.statement) == bool(peak)
  assert (peak or '') in trend.statement


@pytest.mark.parametrize('truth', [0.6, 0.99])
def test_flat_curves_are_rarely_called_trends_or_peaks(truth):
  """An interval that is too short would find trends in noise more often than it says."""
  random = np.random.default_rng(0)
  lines = [
    make_line(random.binomial(200, truth, 5) / 200, tv_weight=float(index))
    for index in range(100)
  ]
  found = curves.trend([cell for line in lines for cell in line], 'shots')
  assert len(found) == 100
  false = [not trend.low <= 0 <= trend.high for trend in found]
  assert sum(false) <= 12  # 5 are expected
  assert sum('peaks' in trend.statement for trend in found) <= 12


def test_the_interval_covers_the_true_slope():
  """As often as it says: 95 % of the time."""
  random = np.random.default_rng(1)
  truth = np.array([0.9, 0.8, 0.7, 0.6])
  lines = [
    make_line(random.binomial(200, truth) / 200, tv_weight=float(index)) for index in range(100)
  ]
  found = curves.trend([cell for line in lines for cell in line], 'shots')
  assert sum(not trend.low <= -0.1 <= trend.high for trend in found) <= 12


def test_the_same_cells_say_the_same_twice():
  """A statement must not change with the hour."""
  cells = make_line([0.9, 0.8, 0.85])
  assert curves.trend(cells, 'shots') == curves.trend(cells, 'shots')


def test_one_point_has_no_trend():
  """A line through one point goes anywhere."""
  assert curves.trend([make_result(0.9)], 'shots') == []


def test_a_mean_without_a_deviation_has_no_place_on_a_logarithmic_axis():
  """It is drawn nowhere rather than at minus infinity."""
  shifted = make_result(0.7, defence='query_noise', noise_mean=0.5)
  noisy = make_noisy('query_noise', (0.9, 0.7, 0.5), [0.9] * 3)
  assert curves.areas([*noisy, shifted]) == curves.areas(noisy)


def test_areas_need_noise():
  """One clear line, not an empty table."""
  with pytest.raises(InputError, match='no finished cell has noise'):
    curves.areas([make_result(0.9)])
