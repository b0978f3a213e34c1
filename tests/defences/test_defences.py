"""The noise is what it says it is, and a defence puts it where its name says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.defences import (
  DEFENCES,
  Defence,
  DPGaussian,
  Gaussian,
  identity,
  make_defence,
  parse_defence,
)
from mamljax.errors import InputError

POINTS = {
  'support_noise': 'support',
  'inner_gradient_noise': 'inner',
  'query_noise': 'query',
  'outgoing_gradient_noise': 'outgoing',
}
IMAGES = ('support', 'query')
SIZE = 50_000
VALUE = {'a': jnp.zeros(SIZE), 'b': jnp.zeros((SIZE // 10, 10))}


@pytest.mark.parametrize(('scale', 'mean'), [(0.5, 0.0), (0.01, 0.0), (2.0, -1.0)])
def test_gaussian_has_its_mean_and_its_standard_deviation(scale, mean):
  """The paper calls its sigma a variance; ours is a standard deviation, on every leaf."""
  for leaf in jax.tree.leaves(Gaussian(scale, mean)(jax.random.key(0), VALUE)):
    noise = np.asarray(leaf).ravel()
    assert stats.kstest(noise, stats.norm(mean, scale).cdf).pvalue > 0.001
    assert noise.mean() == pytest.approx(mean, abs=4 * scale / SIZE**0.5)
    assert noise.std() == pytest.approx(scale, rel=4 / (2 * SIZE) ** 0.5)


def test_leaves_get_noise_of_their_own():
  """The same noise on two layers could be averaged out of neither, but compared."""
  noisy = Gaussian(1.0)(jax.random.key(0), VALUE)
  correlation = np.corrcoef(noisy['a'], noisy['b'].ravel())[0, 1]
  assert abs(correlation) < 4 / SIZE**0.5


def test_noise_is_added_not_put_in_place():
  """The value must still be there under the noise, in its own precision and structure."""
  value = {'a': jnp.linspace(0, 1, 5), 'b': (jnp.ones((2, 2)),)}
  key = jax.random.key(3)
  bare = Gaussian(0.1)(key, jax.tree.map(jnp.zeros_like, value))
  expected = jax.tree.map(jnp.add, value, bare)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, Gaussian(0.1)(key, value), expected))
  assert jax.tree.all(
    jax.tree.map(jnp.array_equal, Gaussian(0.0, 0.25)(key, value), jax.tree.map(_add, value))
  )


@pytest.mark.parametrize('number', [np.float64, jnp.float32, float])
@pytest.mark.parametrize('kind', [jnp.bfloat16, jnp.float32])
def test_noise_has_the_type_of_what_it_is_added_to(number, kind):
  """Gaussian(jnp.float32(0.1)) made float32 of a bfloat16 gradient, np.float64 float64."""
  with jax.enable_x64(True):
    value = {'a': jnp.zeros(3, kind)}
    noise = Gaussian(number(0.1), number(0.2), number(-1), number(1))
    noisy = noise(jax.random.key(0), value)['a']
    scales = jnp.asarray([0.1, 0.2])
    mapped = jax.vmap(lambda scale: Gaussian(scale)(jax.random.key(0), value)['a'])(scales)
  assert noisy.dtype == mapped.dtype == kind


def _add(leaf: jax.Array) -> jax.Array:
  return leaf + 0.25


def test_identity_changes_nothing():
  """'No defence' must be exact: the baseline of every comparison."""
  assert identity(jax.random.key(0), VALUE) is VALUE


@pytest.mark.parametrize(('name', 'point'), POINTS.items())
def test_a_named_defence_puts_noise_at_its_point_alone(name, point):
  """Else a row of results.csv would be about another defence than it names."""
  assert make_defence(name, scale=0.3) == Defence(**{point: Gaussian(0.3)})


def test_every_name_is_that_of_a_defence():
  """A name in the list that makes none would be offered in help, and refused."""
  numbers = {'top_k': '0.1*', 'quantised': '2*', 'aggregate': '8*'}
  named = [{}, *({name: float(numbers.get(name, '1*')[:-1])} for name in DEFENCES[1:])]
  assert [parse_defence(numbers.get(name, '') + name) for name in DEFENCES] == named
  assert {*POINTS} < {*DEFENCES}


def test_none_protects_nothing_whatever_the_scale():
  """A grid over scales also holds the undefended case."""
  assert make_defence('none', scale=3.0) == Defence()


@pytest.mark.parametrize(('name', 'point'), POINTS.items())
def test_noise_has_the_mean_that_is_asked_for(name, point):
  """A mean that is dropped would make a row about another noise than it names."""
  assert make_defence(name, scale=0.3, mean=-0.2) == Defence(**{point: Gaussian(0.3, -0.2)})


@pytest.mark.parametrize(('name', 'point'), POINTS.items())
def test_clipping_keeps_images_images_and_leaves_gradients_alone(name, point):
  """A clipped gradient is another defence; and within [0, 1] clipping must change nothing."""
  key, value = jax.random.key(1), jnp.full((4, 50, 50, 1), 0.5)
  free = getattr(make_defence(name, scale=0.4, mean=0.1), point)(key, value)
  kept = getattr(make_defence(name, scale=0.4, mean=0.1, clip_images=True), point)(key, value)
  assert free.min() < 0
  assert free.max() > 1
  assert kept.dtype == free.dtype == jnp.float32
  np.testing.assert_array_equal(kept, np.clip(free, 0, 1) if point in IMAGES else free)


def test_composed_defences_each_have_their_point_and_factor():
  """A factor at the wrong point would protect one set at the price of another."""
  composed = make_defence('support_noise+0.1*outgoing_gradient_noise', scale=2.0, mean=0.5)
  assert composed == Defence(support=Gaussian(2.0, 0.5), outgoing=Gaussian(0.2, 0.05))
  everywhere = make_defence(
    '+'.join(f'{i + 1}*{name}' for i, name in enumerate(POINTS)), scale=1
  )
  assert everywhere == Defence(*(Gaussian(i + 1) for i in range(4)))


def test_a_named_mechanism_has_its_clip_and_its_multiplier():
  """Beside noise at other points, whose scale is another number."""
  made = make_defence('query_noise+dp_gaussian', scale=0.3, clip=0.5, noise_multiplier=2.0)
  assert made == Defence(query=Gaussian(0.3), outgoing=DPGaussian(0.5, 2.0))


@pytest.mark.parametrize(
  'text',
  [
    'query_noise+.5*support_noise',
    '5e-1*support_noise+1*query_noise',
    '0.50*support_noise + query_noise',
  ],
)
def test_the_order_of_parts_and_the_writing_of_numbers_do_not_matter(text):
  """Else one defence would stand in two rows of a table."""
  assert parse_defence(text) == {'support_noise': 0.5, 'query_noise': 1.0}


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('suport_noise', "unknown defence 'suport_noise': did you mean 'support_noise'"),
    ('query_noise+inner_gradient', "'inner_gradient': did you mean 'inner_gradient_noise'"),
    ('query_noise+', "unknown defence ''"),
    ('', "unknown defence ''"),
    ('query_noise+2*query_noise', "'query_noise+2*query_noise' names 'query_noise' twice"),
    ('0*query_noise', "'0' is not a positive factor"),
    ('0.0e3*query_noise', "'0.0e3' is not a positive factor"),
    ('-1*query_noise', "'-1' is not a positive factor"),
    ('much*query_noise', "'much' is not a positive factor"),
    ('nan*query_noise', "'nan' is not a positive factor"),
    ('1e999*query_noise', "'1e999' is not a positive factor"),
    ('*query_noise', "'' is not a positive factor"),
    ('2*3*query_noise', "'2*3' is not a positive factor"),
    ('2*dp_gaussian', "'dp_gaussian' takes no factor: it has a clip"),
    ('dp_gaussian+outgoing_gradient_noise', "'dp_gaussian' has noise of its own on what is"),
    ('dp_gaussian', 'clip must be a finite number above 0, not None'),
  ],
)
def test_a_slip_of_the_pen_is_met_with_one_clear_line(text, message):
  """Else a sweep would run for hours without the defence that it was to measure."""
  with pytest.raises(InputError) as caught:
    make_defence(text, scale=0.1)
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('scale', [-1, float('nan'), jnp.inf, jnp.float32(-0.1)])
def test_noise_of_no_size_is_refused(scale):
  """It was drawn all the same, and a gradient of NaN sent."""
  with pytest.raises(InputError, match='scale of noise must be finite and 0 or more, not'):
    make_defence('query_noise', scale=scale)


@pytest.mark.parametrize('text', ['none+query_noise', '2*none'])
def test_none_is_no_part(text):
  """'Did you mean none?' is no help to someone who wrote it."""
  with pytest.raises(InputError) as caught:
    make_defence(text, scale=0.1)
  assert "did you mean 'none'" not in str(caught.value)


def test_an_unknown_defence_is_met_with_all_that_are_known():
  """A name that is nowhere near must be found in the list."""
  with pytest.raises(InputError) as caught:
    make_defence('armour', scale=0.1)
  assert all(name in str(caught.value) for name in DEFENCES)
