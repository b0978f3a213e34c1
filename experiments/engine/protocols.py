"""Task-learners by the names of `--protocols`, as the library declares them.

ANIL: Raghu et al. (2020); Meta-SGD: Li et al. (2017); implicit MAML: Rajeswaran et al. (2019);
Reptile: Nichol et al. (2018); weight deltas: federated averaging, McMahan et al. (2017).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax

from experiments.config.cell import Recipe
from experiments.config.streams import Stream, stream_key
from mamljax.maml import Inner, InnerLoop, as_learner
from mamljax.protocol import ImplicitMAML, Learner
from mamljax.types import Params

_LEAST_RATE = 0.05  # of Meta-SGD's rates, in units of the largest
_HEADS = {'conv4': 'Dense_0', 'lenet': 'Dense_2', 'mlp': 'Dense_4'}  # which make the logits


class Within(NamedTuple):
  """A choice of the parameters of one module; choices of the same are equal.

  Attributes:
    module: the name of the module.
  """

  module: str

  def __call__(self, path: str) -> bool:
    """Tests whether the parameter of a path is one of the module's."""
    return self.module in path.split('/')


def declare(recipe: Recipe, *, params: Params | None = None) -> Inner:
  """The task-learner of a recipe.

  Args:
    recipe: the recipe, with the name of its protocol.
    params: the meta-knowledge w, which says for what Meta-SGD needs rates: without it, it has
      one for all of them.
  """
  inner = recipe.inner
  plain = InnerLoop(inner.steps, inner.learning_rate, inner.order)
  if inner.protocol == 'maml':
    return plain
  return _CHANGED[inner.protocol](as_learner(plain), recipe, params)


def assumed(inner: Inner, order: int) -> Inner:
  """The task-learner that an adversary assumes, with a gradient of that order."""
  if isinstance(inner, InnerLoop):
    return dataclasses.replace(inner, order=order)
  return dataclasses.replace(inner, sends='maml' if order == 2 else 'fomaml')


def _anil(learner: Learner, recipe: Recipe, params: Params | None) -> Learner:
  """ANIL: the last layer alone adapts."""
  del params
  head = Within(_HEADS[recipe.model.network_name])
  return dataclasses.replace(learner, trainable=head)


def _meta_sgd(learner: Learner, recipe: Recipe, params: Params | None) -> Learner:
  """Meta-SGD: each parameter has a rate, untrained ones uniform up to the step size."""
  if params is None:
    return learner
  key, most = stream_key(recipe.seed, Stream.RATES), recipe.inner.learning_rate
  leaves, structure = jax.tree.flatten(params)
  rates = [
    jax.random.uniform(key, leaf.shape, leaf.dtype, _LEAST_RATE * most, most)
    for key, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
  ]
  return dataclasses.replace(learner, optimizer=1.0, rates=jax.tree.unflatten(structure, rates))


def _sending(learner: Learner, recipe: Recipe, params: Params | None) -> Learner:
  """A learner that sends the message of its protocol's name."""
  del params
  name = recipe.inner.protocol
  return dataclasses.replace(learner, sends=ImplicitMAML() if name == 'imaml' else name)


_CHANGED: dict[str, Callable[[Learner, Recipe, Params | None], Learner]] = {
  'anil': _anil,
  'meta_sgd': _meta_sgd,
  'imaml': _sending,
  'reptile': _sending,
  'delta': _sending,
}
