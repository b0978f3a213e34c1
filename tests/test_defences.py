"""The noise is what it says it is, and a defence puts it where its name says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.defences import DEFENCES, Defence, Gaussian, identity, make_defence
from mamljax.errors import InputError

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


def _add(leaf: jax.Array) -> jax.Array:
  return leaf + 0.25


def test_identity_changes_nothing():
  """'No defence' must be exact: the baseline of every comparison."""
  assert identity(jax.random.key(0), VALUE) is VALUE


@pytest.mark.parametrize(
  ('name', 'point'),
  [
    ('support_noise', 'support'),
    ('inner_gradient_noise', 'inner'),
    ('query_noise', 'query'),
    ('outgoing_gradient_noise', 'outgoing'),
  ],
)
def test_a_named_defence_puts_noise_at_its_point_alone(name, point):
  """Else a row of results.csv would be about another defence than it names."""
  assert make_defence(name, scale=0.3) == Defence(**{point: Gaussian(0.3)})


def test_none_protects_nothing_whatever_the_scale():
  """A grid over scales also holds the undefended case."""
  assert make_defence('none', scale=3.0) == Defence()


def test_an_unknown_defence_is_named_with_the_nearest():
  """A slip of the pen must not silently run without a defence."""
  with pytest.raises(
    InputError, match=r"'suport_noise': did you mean 'support_noise'"
  ) as error:
    make_defence('suport_noise', scale=0.1)
  assert all(name in str(error.value) for name in DEFENCES)
