"""Objective of a reconstruction: how far a guess's gradient points from the received one."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from mamljax import checks
from mamljax.attacks.gaussian.known_noise import hooks
from mamljax.attacks.gradients import factors
from mamljax.attacks.knowledge import Knowledge, Observation
from mamljax.defences.defence import per_example
from mamljax.images import total_variation
from mamljax.maml import as_learner, meta_gradient, terms_and_adapted
from mamljax.protocol.adaptation import Perturbation
from mamljax.protocol.learner import Learner
from mamljax.protocol.messages import WithRates, as_gradient
from mamljax.types import Batch, Params, Task


def unit_scale(tree: Params) -> Params:
  """A pytree, doubled or halved until its largest number lies in [0.5, 1): no bit is lost.

  The squares of a gradient that explodes, or of one that a trained model all but does not
  send, leave the range of float32; its direction tells as much.
  """
  sizes = [jnp.abs(leaf).max(initial=0) for leaf in jax.tree.leaves(tree)]
  if not sizes:
    return tree
  exponent = jnp.clip(jnp.frexp(jnp.stack(sizes).max())[1], -126, 126)
  return jax.tree.map(lambda leaf: jnp.ldexp(leaf, -exponent), tree)


def cosine_similarity(a: Params, b: Params) -> jax.Array:
  """<a, b> / (|a| |b|) over whole pytrees, not of extreme size; 0 where either is zero."""
  return jnp.asarray(optax.tree.vdot(a, b)) * _inverse_norm(a) * _inverse_norm(b)


def _inverse_norm(tree: Params) -> jax.Array:
  """1 / |tree|."""
  return _inverse_root(jnp.asarray(optax.tree.vdot(tree, tree)))


def _inverse_root(square: jax.Array) -> jax.Array:
  """The guard keeps its derivative finite: a dead network sends a zero gradient."""
  return jax.lax.rsqrt(jnp.maximum(square, 1e-30))


def simulate(
  knowledge: Knowledge,
  observation: Observation,
  guess: Batch,
  *,
  target: str,
  noise_key: jax.Array | None = None,
) -> Params | WithRates:
  """The gradient that the adversary would expect if the guess were the targeted set.

  For 'query' it is grad_w L(w; x): the adversary does not know the adapted parameters and
  puts w in their place (equation 9). For 'support' it is grad_w L(theta(x); D_q): the
  adversary knows the query set, and adapts on the guess as it takes the task-learner to do,
  with `knowledge.inner` (equation 10). Of a learner that sends another message it is that, as
  `Observation.message` has it.

  Args:
    knowledge: that of the adversary.
    observation: what is received; of it the query set is looked at.
    guess: the targeted set.
    target: 'query' or 'support'.
    noise_key: a random key, for published noise on the sets and on the adaptation of 'support',
      which is left out without one.

  Raises:
    ValueError: if the support set is sought, and the query set or inner loop not known.
  """
  checks.one_of('target', target, checks.TARGETS)
  if target == 'query':
    return jax.grad(knowledge.loss_fn)(knowledge.params, guess)
  if observation.query_set is None:
    raise ValueError('the support set cannot be sought without the query set')
  if knowledge.inner is None:
    raise ValueError('the adaptation cannot be simulated without the inner loop')
  task, learner = Task(guess, observation.query_set), as_learner(knowledge.inner)
  if noise_key is None:
    message = meta_gradient(knowledge.loss_fn, knowledge.params, task, learner)
  else:
    message = _simulate_noisy(noise_key, knowledge, task, learner)
  return message if isinstance(message, WithRates) else as_gradient(learner, message)


def _simulate_noisy(key: jax.Array, known: Knowledge, task: Task, learner: Learner) -> Any:
  """The message of a learner, with noise and clips as published before it is sent."""
  noise, keys = hooks(known), jax.random.split(key, 3)
  support: Any = noise.support(keys[0], task.support.images)
  query: Any = noise.query(keys[1], task.query.images)
  noisy = Task(task.support._replace(images=support), task.query._replace(images=query))
  perturb = Perturbation(keys[2], noise.inner)
  arguments = known.loss_fn, known.params, noisy, learner
  mechanism = per_example(noise.outgoing)
  if mechanism is None:
    return meta_gradient(*arguments, perturb=perturb)
  return mechanism.mean_of(terms_and_adapted(*arguments, perturb=perturb)[0])


def expect_gradient(
  knowledge: Knowledge, observation: Observation, guess: Batch, *, target: str
) -> Params:
  """The part of `simulate` that is like the parameters."""
  message = simulate(knowledge, observation, guess, target=target)
  return message.gradient if isinstance(message, WithRates) else message


def objective(
  knowledge: Knowledge,
  observation: Observation,
  guess: Batch,
  *,
  target: str,
  tv_weight: float | jax.Array,
) -> jax.Array:
  """Equations 9 and 10: 1 - cos(simulated gradient, g) + a TV(x), a scalar.

  Args:
    knowledge: the loss, the meta-knowledge w and the inner loop.
    observation: the received meta-gradient g; for 'support' the query set, too.
    guess: the images x with their slot labels.
    target: 'query' for equation 9, 'support' for equation 10.
    tv_weight: a, the weight of the mean anisotropic total variation.
  """
  mismatch = 1 - _alignment(knowledge, observation, guess, target)
  return mismatch + tv_weight * total_variation(guess.images)


def _alignment(
  knowledge: Knowledge, observation: Observation, guess: Batch, target: str
) -> jax.Array:
  """The cosine of the simulated and the received gradient, from factors where those will do."""
  if target == 'support':
    expected = simulate(knowledge, observation, guess, target=target)
    return _cosine_of_messages(expected, observation.message)
  loss_fn, params, received = knowledge.loss_fn, knowledge.params, observation.gradient
  chex.assert_trees_all_equal_shapes(params, received)
  layers = factors.dense_layers(loss_fn, params, guess)
  if layers is None:
    return cosine_similarity(simulate(knowledge, observation, guess, target=target), received)
  found = factors.factor_gradient(layers, params, guess)
  norms = _inverse_root(factors.squared_norm(layers, found)) * _inverse_norm(received)
  return factors.vdot(layers, found, received) * norms


def _cosine_of_messages(
  expected: Params | WithRates, received: Params | WithRates
) -> jax.Array:
  """The cosine of two gradients, or its mean with that of the gradients in the rates."""
  chex.assert_trees_all_equal_shapes(expected, received)
  if not isinstance(expected, WithRates):
    return cosine_similarity(expected, received)
  parts = zip(expected, received, strict=True)
  return jnp.stack([cosine_similarity(*pair) for pair in parts]).mean()
