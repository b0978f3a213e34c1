"""Labels are read off a gradient, and the attack with the right ones is the one that knew."""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import Candidate, Reconstruction
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.gradients.labels import infer_labels
from mamljax.attacks.gradients.objectives import simulate
from mamljax.attacks.reconstruction import LABELS
from mamljax.maml import InnerLoop
from mamljax.types import Batch
from tests.attacks import plays
from tests.attacks.digits import SHAPE
from tests.attacks.linear import SIZE, WAYS, knowledge, noise, observed

KEY = jax.random.key(0)
# All that a set can be made of, from balanced to all of one class.
MADE_OF = np.array(list(itertools.combinations_with_replacement(range(WAYS), SIZE)))
BALANCED = [0, 0, 1, 1, 2, 2]


@functools.partial(jax.jit, static_argnames='target')
def inferred(
  made_of: jax.Array,
  guess: jax.Array,
  inner: InnerLoop,
  *,
  target: str,
  weights: jax.typing.ArrayLike = 1.0,
) -> jax.Array:
  """The labels inferred from the gradients of sets of these labels, one by one."""
  params = jax.tree.map(lambda leaf: weights * leaf, knowledge().params)
  known = dataclasses.replace(knowledge(target), params=params, inner=inner)

  def one(labels: jax.Array) -> jax.Array:
    seen = observed(labels, known)
    told = functools.partial(simulate, known, seen, target=target)
    return infer_labels(known.loss_fn, params, guess, seen.gradient, told, ways=WAYS)

  return jax.vmap(one)(made_of)


def test_labels_at_w_are_exact_whatever_they_are():
  """The bias gradient is linear in their shares: a wrong one would be an error of algebra."""
  found = inferred(MADE_OF, noise(1), InnerLoop(0, 0.0), target='query')
  np.testing.assert_array_equal(found, MADE_OF)


@pytest.mark.parametrize('target', ['query', 'support'])
def test_a_small_inner_step_hides_no_label(target):
  """The adversary does not know the adapted parameters: only a large step may matter."""
  found = inferred(MADE_OF, noise(1), InnerLoop(1, 0.01), target=target)
  np.testing.assert_array_equal(found, MADE_OF)


@pytest.mark.parametrize('guess', [3, 4, 5])
@pytest.mark.parametrize('target', ['query', 'support'])
def test_the_guess_of_the_images_does_not_matter_to_an_unsure_network(target, guess):
  """The adversary does not know the images: where all get like odds, it need not."""
  found = inferred(MADE_OF, noise(guess), InnerLoop(1, 0.01), target=target, weights=0.1)
  np.testing.assert_array_equal(found, MADE_OF)


def loss_by_place(params: list, batch: Batch, /) -> jax.Array:
  """Eleven layers, of which the second in the list is the last."""
  x = batch.images.reshape(len(batch.images), -1)
  for weights, bias in [params[0], *params[2:]]:
    x = jnp.tanh(x @ weights + bias)
  logits = jnp.einsum('ow,nw->no', params[1][0], x) + params[1][1]
  return -jax.nn.log_softmax(logits)[jnp.arange(len(x)), batch.labels].mean()


def test_the_output_layer_is_the_one_that_makes_the_logits():
  """By spelling Dense_10 stands before Dense_9: labels were read off a hidden layer."""
  sizes = [(noise(1)[0].size, 4), (WAYS, 4), *[(4, 4)] * 9]
  features = [4, WAYS, *[4] * 9]
  params = [(jnp.full(s, 0.1), jnp.zeros(f)) for s, f in zip(sizes, features, strict=True)]
  labels = jnp.array([0, 2, 2, 2, 2, 2])

  def told(batch):
    return jax.grad(loss_by_place)(params, batch)

  gradient = told(Batch(noise(1), labels))
  found = infer_labels(loss_by_place, params, noise(1), gradient, told, ways=WAYS)
  np.testing.assert_array_equal(found, labels)


def test_a_network_without_biases_is_refused():
  """Labels read off some other parameter would be noise with an accuracy beside it."""
  trials, seen = plays.played('query')
  first = jax.tree.map(lambda leaf: leaf[0], (seen, trials.candidate))
  chosen, known = dataclasses.replace(plays.ATTACK, labels='inferred'), plays.knowledge()
  said = "needs biases of the output layer: it finds none that is added to what 'second'"
  with pytest.raises(ValueError, match=said):
    chosen.score(KEY, known, *first)
  assert re.search(said, inapplicable(chosen, known, SHAPE) or '')
  assert inapplicable(plays.ATTACK, known, SHAPE) is None


@functools.partial(jax.jit, static_argnames='target')
def attacked(made_of: jax.Array, label: jax.Array, *, target: str):
  """Score and Info of the attack that knows the labels and of the one that infers them."""
  known = knowledge(target)
  seen, candidate = observed(made_of, known), Candidate(noise(1)[0], label)
  return [
    Reconstruction(iterations=4, labels=labels).score(KEY, known, seen, candidate)
    for labels in LABELS
  ]


@pytest.mark.parametrize('target', ['query', 'support'])
def test_the_attack_with_rightly_inferred_labels_is_the_one_that_knew(target):
  """Else 'inferred' would differ from 'known' in more than what the adversary is told."""
  (score, info), (score_inferred, info_inferred) = attacked(
    jnp.array(BALANCED), jnp.array(1), target=target
  )
  np.testing.assert_array_equal(info.labels, BALANCED)
  np.testing.assert_array_equal(info_inferred.labels, BALANCED)
  np.testing.assert_array_equal(info_inferred.inferred_labels, BALANCED)
  assert info.inferred_labels is None
  np.testing.assert_allclose(score_inferred, score, atol=1e-6)
  np.testing.assert_allclose(info_inferred.images, info.images, atol=1e-6)


def test_a_candidate_whose_class_was_not_inferred_still_gets_a_slot():
  """Without one it would not be asked about at all."""
  made_of = jnp.full(SIZE, 2)
  _, (_, info) = attacked(made_of, jnp.array(1), target='query')
  np.testing.assert_array_equal(info.labels, [1, *made_of[1:]])
  np.testing.assert_array_equal(info.reconstruction, info.images[0])
