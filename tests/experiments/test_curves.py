"""Curves show what their cells say, and the rules that read them find what is there."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color

from experiments.analysis import curves, figures
from experiments.analysis.curves.drawing import AREA, ATTACK, LEARNING
from experiments.analysis.curves.series import find_curves
from experiments.config.columns import configuration
from experiments.store.cells import CellResult, Trials
from mamljax.audit.metrics import Metrics, proportion
from mamljax.errors import InputError
from tests.experiments.configurations import make

SCALES = (0.01, 0.1, 1.0)
PLACES = {
  'support_noise': 'support data',
  'inner_gradient_noise': 'adaptation gradient',
  'query_noise': 'query data',
  'outgoing_gradient_noise': 'validation gradient',
}


def make_result(accuracy: float, *, learning: float | None = None, trials=200, **changes):
  """A cell whose attack is right in this part of its trials."""
  right, low, high = round(accuracy * trials), 0.0, 1.0
  said = {'epoch': 9, 'accuracy': learning, 'low': low, 'high': high, 'tasks': 400}
  return CellResult(
    configuration=configuration(make(**{'dataset': 'mnist', 'trials': trials} | changes)),
    seed=0,
    versions={},
    git_revision=None,
    device_kind='cpu',
    timings={'seconds_per_trial': 0.5, 'compile_seconds': 12.5},
    metrics=Metrics(proportion(right, trials), None, None, None, None, None, 0.5),
    trials=Trials([0.0] * trials, [True] * trials, [*range(trials)], [True] * trials),
    calibration=Trials([], [], [], []),
    extra={} if learning is None else {'learning': said},
  )


def make_line(accuracies, x='shots', **changes):
  """Cells along x = 1, 2, ..."""
  return [make_result(a, **{x: 1 + i}, **changes) for i, a in enumerate(accuracies)]


def make_noisy(defence, attack, learning, **changes):
  """An undefended cell that attacks with 0.9 and learns with 0.9, and three noisy ones."""
  noisy = {'defence': defence, **changes}
  return [
    make_result(0.9, learning=0.9, **changes),
    *(
      make_result(a, learning=b, noise_scale=scale, **noisy)
      for scale, a, b in zip(SCALES, attack, learning, strict=True)
    ),
  ]


def points(axes: Axes, *, color=None, marker='o') -> list[list[tuple[float, float]]]:
  """The points of the lines of a colour that have this marker, or of any colour."""
  lines = [line for line in axes.get_lines() if line.get_marker() == marker]
  data = [
    np.asarray(line.get_xydata())
    for line in lines
    if color is None or same_color(line.get_color(), color)
  ]
  return [[(float(x), float(y)) for x, y in xy] for xy in data if len(xy)]


def names(figure) -> set[str]:
  return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def test_a_curve_goes_through_its_cells_in_order():
  """A line drawn in the order of finishing would zigzag; a wrong value would mislead."""
  cells = make_line([0.9, 0.7, 0.5])
  (axes,) = curves.curves([cells[2], cells[0], cells[1]], 'shots').axes
  assert points(axes) == [[(1, 0.9), (2, 0.7), (3, 0.5)]]
  assert axes.get_xlabel() == 'shots'
  assert axes.get_ylim()[0] == 0


def test_the_band_is_the_interval():
  """A band of another width would claim another precision."""
  cells = make_line([0.9, 0.5], trials=20)
  (axes,) = curves.curves(cells, 'shots').axes
  (band,) = axes.collections
  drawn = set(map(tuple, np.asarray(band.get_paths()[0].vertices).tolist()))
  for shots, cell in enumerate(cells, start=1):
    rate = cell.metrics.accuracy
    assert {(shots, rate.low), (shots, rate.high)} <= drawn


def test_what_varies_names_the_lines_and_nothing_else():
  """Chunks follow from ways; fields that vary together need not all be said."""
  cells = [
    make_result(0.9, ways=ways, chunk=12 // ways, target=target, iterations=iterations)
    for target, iterations in (('query', 100), ('support', 300))
    for ways in (2, 3, 4)
  ]
  figure = curves.curves(cells, 'ways')
  assert len(points(figure.axes[0], color=figures.COLOURS[0])) == 1
  assert names(figure) == {'query', 'support', 'chance', 'printed in the paper'}


def test_a_number_that_varies_is_named():
  """'5' alone would not say what is 5."""
  cells = [make_result(0.9, shots=shots, inner_steps=n) for shots in (4, 5) for n in (1, 5)]
  assert names(curves.curves(cells, 'shots')) == {'inner_steps=1', 'inner_steps=5', 'chance'}


def test_printed_accuracies_stand_where_the_paper_prints_them():
  """Elsewhere, or on a line of another attack, they would be made up."""
  ways = [make_result(0.9, ways=ways) for ways in (2, 3, 5, 6)]
  (axes,) = curves.curves(ways, 'ways').axes
  assert points(axes, marker='D') == [[(3, 0.92)], [(5, 0.95)]]
  (axes,) = curves.curves(make_line([0.9, 0.8], 'epoch'), 'epoch').axes
  assert points(axes, marker='D') == [[(1, 0.92)]]  # the paper names no epoch: said once
  (axes,) = curves.curves(make_line([0.9, 0.8], attack='loss'), 'shots').axes
  assert points(axes, marker='D') == []


def test_sums_are_drawn_over_their_learners():
  """A curve for each defence beside the sum, from a message that is seen alone."""
  noise = 'outgoing_gradient_noise'
  cells = [
    make_result(accuracy, defence=defence, noise_scale=0.1 * (noise in defence))
    for defence, accuracy in {
      'none': 1.0,
      '4*aggregate': 0.9,
      '0.1*top_k': 0.85,
      noise: 0.8,
      f'{noise}+4*aggregate': 0.7,
      f'4*aggregate+{noise}': 0.6,
    }.items()
  ]
  found = {curve.label: curve.xs for curve in find_curves(cells, 'aggregate')}
  alone = {'0.1*top_k': (1,), f'aggregate+{noise}': (4,)}
  assert found == {'': (1, 4), noise: (1, 4), **alone}
  assert len(points(curves.curves(cells, 'aggregate').axes[0])) > 0


@pytest.mark.parametrize(('learners', 'drawn'), [(1, True), (4, False)])
def test_chance_is_a_half_in_the_local_game_only(learners, drawn):
  """A guess that must also name the learner is right less often."""
  figure = curves.curves(make_line([0.9, 0.8], learners=learners), 'shots')
  assert ('chance' in names(figure)) == drawn


def test_attack_is_red_and_learning_blue():
  """As in the paper; confused, a defence that ruins the model would look perfect."""
  cells = make_line([0.9, 0.8], 'epoch', learning=0.4)
  figure = curves.curves(cells, 'epoch')
  (axes,) = figure.axes
  assert points(axes, color=ATTACK) == [[(1, 0.9), (2, 0.8)]]
  assert points(axes, color=LEARNING) == [[(1, 0.4), (2, 0.4)]]
  assert {'attack', 'learning'} <= names(figure)


def test_curves_with_learning_have_a_panel_each():
  """Two colours cannot tell four lines apart."""
  cells = [
    cell
    for target in ('query', 'support')
    for cell in make_line([0.9, 0.8], learning=0.4, target=target)
  ]
  figure = curves.curves(cells, 'shots')
  assert [axes.get_title() for axes in figure.axes] == ['(a) query', '(b) support']
  assert all(len(points(axes, color=ATTACK)) == 1 for axes in figure.axes)


def test_curves_with_learning_under_noise_have_a_row_each():
  """Each place of the noise is a column: the figures of two sets of two data sets in one."""
  places = list(PLACES)[:3]
  cells = [
    cell
    for target in ('query', 'support')
    for place in places
    for cell in make_noisy(place, [0.9, 0.7, 0.6], [0.9, 0.8, 0.7], target=target)
  ]
  figure = curves.curves(cells, 'noise_scale')
  titles = [f'{target}: {PLACES[p]}' for target in ('query', 'support') for p in places]
  assert [axes.get_title()[4:] for axes in figure.axes] == titles
  columns = {round(axes.get_position().x0, 2) for axes in figure.axes}
  assert len(columns) == 3


def test_noise_has_a_panel_for_each_place_over_what_is_added():
  """A factor left out would shift a curve by tenfold noise."""
  factors = (1, 0.1, 1, 0.01)
  cells = [make_result(0.9, learning=0.9)]
  for part, factor in zip(PLACES, factors, strict=True):
    cells += make_noisy(f'{factor}*{part}', (0.9, 0.7, 0.5), (0.9, 0.9, 0.5))[1:]
  figure = curves.curves(cells, 'noise_scale')
  titles = [axes.get_title() for axes in figure.axes]
  assert titles == [f'({c}) {place}' for c, place in zip('abcd', PLACES.values(), strict=True)]
  for axes, factor in zip(figure.axes, factors, strict=True):
    assert axes.get_xscale() == 'log'
    undefended, defended = sorted(points(axes, color=ATTACK), key=len)
    assert [x for x, _ in defended] == pytest.approx([factor * scale for scale in SCALES])
    assert [y for _, y in undefended] == [0.9]
    assert undefended[0][0] < defended[0][0]
    ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    assert ticks[undefended[0][0]].get_text() == 'none'
    (area,) = [p for p in axes.patches if same_color(p.get_facecolor()[:3], AREA)]
    low, high = area.get_extents().transformed(axes.transData.inverted()).intervalx
    assert (low, high) == pytest.approx((factor * 0.1, factor * 0.1 * 10**0.225))


def test_undefended_cells_belong_to_their_own_curve():
  """The support attack's start on the query attack's curve would move its noise area."""
  cells = [
    *(make_result(a, target=t) for t, a in (('query', 0.9), ('support', 0.8))),
    *(
      make_result(0.6, target=t, defence='query_noise', noise_scale=0.1, noise_mean=0.5)
      for t in ('query', 'support')
    ),
  ]
  (axes,) = curves.curves(cells, 'noise_scale').axes
  starts = [points(axes, marker=marker)[-1][0][1] for marker in 'os']
  assert starts == [0.9, 0.8]


def test_noise_at_two_places_is_said_in_proportion():
  """As 'query data' it would stand among the curves of query noise alone."""
  cells = make_noisy('2*query_noise+0.2*outgoing_gradient_noise', *[(0.9, 0.7, 0.5)] * 2)
  (axes,) = curves.curves(cells, 'noise_scale').axes
  assert axes.get_title() == 'query data + 0.1 x validation gradient'
  assert [x for x, _ in points(axes, color=ATTACK)[0]] == [0.02, 0.2, 2]


def test_many_curves_are_told_apart(tmp_path):
  """Two that look alike cannot be read; and every figure can be saved."""
  cells = [make_result(0.9, shots=s, inner_steps=n) for s in (4, 5) for n in range(1, 26)]
  figure = curves.curves(cells, 'shots')
  (legend,) = figure.legends
  looks = {(line.get_marker(), line.get_color()) for line in legend.get_lines()}
  assert len(looks) == 26
  figures.save(figure, tmp_path / 'curves.png')
  assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
  ('cells', 'x', 'message'),
  [
    ([], 'ways', 'no finished cell'),
    ([make_result(0.9)], 'way', "unknown field.*'way': did you mean 'ways'"),
    ([make_result(0.9)], 'dataset', "unknown field.*'dataset'"),
    ([make_result(0.9)], 'noise_scale', 'no finished cell has noise'),
  ],
)
def test_nothing_to_draw_is_one_clear_line(cells, x, message):
  """A mistyped flag is the user's, not a stack trace."""
  for function in (curves.curves, curves.trend):
    with pytest.raises(InputError, match=message) as caught:
      function(cells, x)
    assert '\n' not in str(caught.value)
