"""Compressions send what they say, and a receiver who knows them reads it as it is."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.defences import (
  Chain,
  Compression,
  Defence,
  DPGaussian,
  Gaussian,
  Quantised,
  Sign,
  TopK,
  make_defence,
)
from mamljax.errors import InputError

KEY = jax.random.key(0)
COMPRESSIONS = [TopK(0.1), Sign(), Quantised(2)]


def message(seed: int, size: int = 300) -> dict[str, jax.Array]:
  """Numbers of two arrays, a tenth of them 0."""
  random = np.random.default_rng(seed)
  numbers = random.standard_t(3, size) * (random.random(size) > 0.1)
  return {'a': jnp.asarray(numbers[:100], jnp.float32), 'b': jnp.asarray(numbers[100:], 'f4')}


def flat(tree) -> np.ndarray:
  """All numbers of a message."""
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize(('share', 'seed'), [(1e-9, 0), (0.01, 1), (0.1, 2), (0.5, 3), (1, 4)])
def test_top_k_sends_the_largest_of_all_numbers_and_no_others(share, seed):
  """A share of each array, or numbers that are changed, would be another defence."""
  value = message(seed)
  sent, whole = flat(jax.jit(lambda hook: hook(KEY, value))(TopK(share))), flat(value)
  kept = max(1, round(share * len(whole)))
  expected = np.zeros_like(whole)
  largest = np.argsort(-np.abs(whole))[:kept]
  expected[largest] = whole[largest]
  np.testing.assert_array_equal(sent, expected)


def test_signs_have_the_mean_size_of_their_array():
  """So that a server may take a step with them; a number of 0 has no sign."""
  value = message(5)
  sent = Sign()(KEY, value)
  for name, leaf in value.items():
    expected = np.sign(leaf) * np.abs(leaf).mean()
    np.testing.assert_allclose(sent[name], expected, rtol=1e-6)
    np.testing.assert_array_equal(sent[name] == 0, leaf == 0)


@pytest.mark.parametrize('levels', [1, 2, 3, 7])
@pytest.mark.parametrize('fraction', [0.0, 0.25, 0.5, 1.0])
def test_a_quantised_number_is_itself_on_average(levels, fraction):
  """Exactly: of an evenly spaced draw the share rounded up is what is left over."""
  number = jnp.float32(fraction * 0.6)
  value = {'a': jnp.array([number, -number, jnp.sqrt(1 - 2 * number**2)])}
  draws = 4096
  sent = np.asarray(
    jax.vmap(lambda key: Quantised(levels)(key, value)['a'])(jax.random.split(KEY, draws))
  )
  step = 1 / levels
  np.testing.assert_allclose(sent / step, np.round(sent / step), atol=1e-4)
  assert np.abs(np.abs(sent) - np.abs(value['a'])).max() <= step * (1 + 1e-5)
  deviation = np.sqrt(np.maximum(sent.var(axis=0), 1e-12) / draws)
  np.testing.assert_array_less(np.abs(sent.mean(axis=0) - value['a']), 5 * deviation + 1e-5)


@pytest.mark.parametrize('levels', [1, 2, 8, 100])
def test_the_expectation_of_what_is_quantised_is_exact(levels):
  """By its two outcomes: the level below, and the one above as often as is left over."""
  value = message(6)['b']
  step = float(jnp.linalg.norm(value)) / levels
  low = jnp.sign(value) * step * jnp.floor(jnp.abs(value) / step)
  up = jnp.abs(value) / step - jnp.floor(jnp.abs(value) / step)
  sent = jax.vmap(lambda key: Quantised(levels)(key, value))(jax.random.split(KEY, 500))
  high = low + jnp.sign(value) * step
  is_up = jnp.abs(sent - high) < jnp.abs(sent - low)
  np.testing.assert_allclose(sent, jnp.where(is_up, high, low), rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(up * high + (1 - up) * low, value, rtol=1e-4, atol=1e-6)
  error = np.abs(is_up.mean(axis=0) - up)
  np.testing.assert_array_less(error, 5 * np.sqrt(up * (1 - up) / 500) + 1e-4)


@pytest.mark.parametrize('hook', [TopK(1.0), Quantised(1e6)])
def test_without_strength_the_message_is_what_it_was(hook):
  """Else the undefended numbers of a sweep would be of something else."""
  value = message(7)
  np.testing.assert_allclose(flat(hook(KEY, value)), flat(value), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('hook', COMPRESSIONS)
def test_the_strength_of_a_compression_is_a_leaf_and_divergence_stays_seen(hook):
  """A share that recompiles would make a sweep slow; NaN sent as 0 would pass for private."""
  value = message(8)
  broken = {**value, 'a': value['a'].at[3].set(jnp.nan)}
  for given in (hook(KEY, broken), Chain(DPGaussian(1.0, 0.0), hook)(KEY, broken)):
    assert np.isnan(flat(given)).any()
  zeros = jax.tree.map(jnp.zeros_like, value)
  np.testing.assert_array_equal(flat(hook(KEY, zeros)), 0)
  compiled = jax.jit(lambda hook: hook(KEY, value))(hook)
  np.testing.assert_allclose(flat(compiled), flat(hook(KEY, value)), rtol=1e-5)


MEANS, SPREADS = (0.0, 0.02, -0.1, 0.3), (0.01, 0.1, 1.0)


@pytest.mark.parametrize('hook', [Sign(), Quantised(300), Quantised(150)])
def test_a_reading_is_unbiased_and_as_wrong_as_it_says(hook):
  """A reading that is trusted too much would call members and non-members at random."""
  known, each = np.array([*itertools.product(MEANS, SPREADS)]), 20_000
  mean, spread = (jnp.asarray(np.repeat(x, each), jnp.float32) for x in known.T)
  drawn = mean + spread * jax.random.normal(KEY, mean.shape)
  residual, error = hook.read(hook(jax.random.key(1), drawn), mean, spread**2)
  wrong = np.asarray(residual - (drawn - mean)).reshape(len(known), each)
  stated = np.sqrt(error).reshape(wrong.shape)[:, 0]
  told = np.isfinite(stated)
  assert told.sum() >= 6
  wrong, stated = wrong[told], stated[told]
  np.testing.assert_array_less(np.abs(wrong.mean(axis=1)), 5 * stated / each**0.5 + 1e-6)
  np.testing.assert_allclose(wrong.std(axis=1), stated, rtol=0.15)


@pytest.mark.parametrize('share', [0.01, 0.3, 1.0])
def test_what_is_pruned_is_told_only_as_far_as_it_is_known_to_be_small(share):
  """The rest exactly. All of a message of which nothing is pruned, the zeros included."""
  value = message(10)
  flat_value, spreads = flat(value), np.geomspace(1e-4, 1e2, 300)
  parts = {'a': jnp.asarray(spreads[:100], 'f4'), 'b': jnp.asarray(spreads[100:], 'f4')}
  mean = jax.tree.map(lambda leaf: 0.1 * jnp.ones_like(leaf), value)
  sent = TopK(share)(KEY, value)
  residual, error = map(flat, TopK(share).read(sent, mean, jax.tree.map(jnp.square, parts)))
  kept, least = flat(sent) != 0, np.abs(flat(sent))[flat(sent) != 0].min()
  np.testing.assert_allclose(residual[kept], flat_value[kept] - 0.1, atol=1e-6)
  np.testing.assert_array_equal(error[kept], 0)
  pruned = ~kept
  known_before = 3 * spreads**2 <= least**2
  assert np.isinf(error[pruned & known_before]).all()
  wide = pruned & (spreads > 30 * least)
  np.testing.assert_allclose(error[wide], least**2 / 3, rtol=0.01)
  np.testing.assert_allclose(residual[wide], -0.1, rtol=0.01)


@pytest.mark.parametrize('hook', [*COMPRESSIONS, Chain(Gaussian(1.0), TopK(0.1))])
def test_nothing_is_guaranteed(hook):
  """Bits that are saved hide nothing that anyone could put a number to."""
  for asked in (hook, Defence(outgoing=hook)):
    with pytest.raises(InputError, match='has no guarantee'):
      asked.epsilon(1e-5)


def test_what_comes_around_a_mechanism_takes_nothing_from_its_guarantee():
  """Processing before a clip and after its noise; noise on a clip that is undone has none."""
  mechanism = DPGaussian(1.0, 2.0)
  for chain in (Chain(mechanism, TopK(0.1)), Chain(TopK(0.1), Chain(mechanism, Sign()))):
    assert Defence(outgoing=chain).epsilon(1e-5) == mechanism.epsilon(1e-5)


def test_a_chain_applies_its_hooks_in_order():
  """A clip of what is pruned is another message than a pruned clip."""
  value = message(9)
  for hooks in itertools.permutations((DPGaussian(0.5, 0.0), TopK(0.1), Sign()), 2):
    by_hand = hooks[1](KEY, hooks[0](KEY, value))
    np.testing.assert_allclose(flat(Chain(*hooks)(KEY, value)), flat(by_hand), rtol=1e-5)
  with pytest.raises(InputError, match='a Chain needs hooks'):
    Chain()


@pytest.mark.parametrize(
  ('name', 'hook'),
  [
    ('0.1*top_k', TopK(0.1)),
    ('sign', Sign()),
    ('8*quantised', Quantised(8.0)),
    ('dp_gaussian+0.01*top_k', Chain(DPGaussian(0.5, 2.0), TopK(0.01))),
    ('0.01*top_k+outgoing_gradient_noise', Chain(TopK(0.01), Gaussian(0.3))),
  ],
)
def test_a_compression_has_a_name_with_its_number(name, hook):
  """So that a sweep and an audit on a command line measure it."""
  made = make_defence(name, scale=0.3, clip=0.5, noise_multiplier=2.0)
  assert made == Defence(outgoing=hook)
  assert all(isinstance(part, Compression) for part in COMPRESSIONS)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (
      'top_k',
      "'top_k' needs the share of the numbers that it keeps before it, as in 0.1*top_k",
    ),
    ('1.5*top_k', 'share must be a number above 0 and at most 1, not 1.5'),
    ('quantised', "'quantised' needs its number of levels before it, as in 2*quantised"),
    ('2.5*quantised', 'levels must be a whole number of 1 or more, not 2.5'),
    ('2*sign', "'sign' takes no number"),
  ],
)
def test_a_compression_of_no_strength_is_met_with_one_line(text, message):
  """A sweep would run for hours on what it was not asked for."""
  with pytest.raises(InputError) as caught:
    make_defence(text, scale=0.1)
  assert message in str(caught.value)


@pytest.mark.parametrize('value', [0, -1, None, 'much', float('nan'), True])
@pytest.mark.parametrize('kind', [TopK, Quantised])
def test_a_number_that_cannot_be_is_refused(kind, value):
  """It would send nothing, or NaN."""
  with pytest.raises(InputError, match='must be a'):
    kind(value)
