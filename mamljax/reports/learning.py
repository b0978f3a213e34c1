"""Accuracy of learning under a defence: a model that is meta-trained with it, on new tasks."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks, training
from mamljax.audit.metrics import Rate, share
from mamljax.checks import Checked, count
from mamljax.defences import AnyDefence, Defence, as_defence
from mamljax.errors import InputError
from mamljax.networks import CrossEntropy
from mamljax.reports import fingerprints
from mamljax.reports.averaging import is_mean_over_images
from mamljax.reports.store import Store
from mamljax.training import Training
from mamljax.types import Params, Pool

_VERSION = 1  # of the streams of randomness, part of each fingerprint


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedAccuracy(Checked):
  """Query accuracy, on new tasks, of a model that is meta-trained under a defence.

  A function of a defence, for `compare_defences(accuracy=...)`: every defence takes the same
  rounds from the same parameters on the same tasks, and is tested on the same new ones. A task
  on which the adaptation diverges counts as 0.

  The interval is over the new tasks, at 95 %, as if the accuracy of each were one decision:
  wide rather than narrow. It leaves out that another run of training would end elsewhere, and
  what longer training would reach.

  Attributes:
    training: the meta-training, without a defence.
    params: the parameters that it begins with.
    pool: the images that learners train on.
    held_out: other images, for the new tasks.
    rounds: number of rounds.
    tasks: number of new tasks.
    seed: seed of training and of the new tasks.
    store: a folder that keeps what was measured, from which the same call takes it; None keeps
      nothing.

  Raises:
    InputError: if a number is not as above, the training has a defence of its own, or what
      learners send, or the loss, is none that a model can be trained and tested by.
  """

  training: Training
  params: Params
  pool: Pool
  held_out: Pool
  rounds: int = dataclasses.field(metadata=count(1))
  tasks: int = dataclasses.field(default=1000, metadata=count(2))
  seed: int = 0
  store: str | os.PathLike[str] | None = None

  def __post_init__(self):
    super().__post_init__()
    own = getattr(self.training.inner, 'defence', None)
    if own is not None or self.training.defence.has_hooks:
      raise InputError('training must come without a defence: it takes those it is compared by')
    checks.whole('seed', self.seed, least=0)
    self._check_loss()
    self.check(None)

  def __call__(self, defence: AnyDefence | None) -> Rate:
    """The mean accuracy under a defence, with its interval."""
    if rate := self.kept(defence):
      return rate
    start = time.perf_counter()
    found = np.asarray(self._run(*self._given(defence)))
    Store(self.store).add(self._name(defence), 0, found, time.perf_counter() - start)
    return _mean(found)

  def check(self, defence: AnyDefence | None) -> None:
    """Refuses a defence that nothing can be trained under, before anything is computed.

    Raises:
      InputError: as training does, such as for learners who make up no whole sums.
    """
    jax.eval_shape(self._learn, *self._given(defence))

  def untrained(self) -> Rate:
    """The mean accuracy at the parameters that training begins with, with its interval."""
    key, params, _, held_out, _ = self._given(None)
    _, key_test = jax.random.split(key)
    return _mean(np.asarray(self._test(key_test, params, held_out)))

  def kept(self, defence: AnyDefence | None) -> Rate | None:
    """The accuracy under a defence in the store; None if it was not measured."""
    if self.store is None:
      return None
    found = Store(self.store).load(self._name(defence)).scores
    return _mean(found) if len(found) == self.tasks else None

  def _check_loss(self) -> None:
    """Refuses a loss of which the accuracy of single images cannot be told."""
    loss_fn, ways = self.training.loss_fn, self.training.ways
    pool = jax.tree.map(jnp.asarray, self.held_out)
    checks.pool(pool, per_class=2 * self.training.shots)
    if isinstance(loss_fn, CrossEntropy):
      return
    if not is_mean_over_images(loss_fn, self.params, pool, ways=ways):
      raise InputError(
        'the accuracy of learning cannot be told of a loss whose images see each other (batch '
        'normalisation?): give a CrossEntropy, or an accuracy of your own'
      )

  def _given(self, defence: AnyDefence | None) -> tuple[Any, ...]:
    """The arguments of `_learn`; pools of `from_arrays` hold NumPy arrays."""
    given = self.params, self.pool, self.held_out
    key = jax.random.key(self.seed)
    return key, *jax.tree.map(jnp.asarray, given), as_defence(defence) or Defence()

  @functools.cached_property
  def _run(self) -> Callable[..., jax.Array]:
    """`_learn`, compiled once for all defences of a kind."""
    return jax.jit(functools.partial(TrainedAccuracy._learn, self))

  def _learn(
    self, key: jax.Array, params: Params, pool: Pool, held_out: Pool, defence: Defence
  ) -> jax.Array:
    """The accuracy on each new task after training under a defence, [tasks]."""
    key_train, key_test = jax.random.split(key)
    defended = dataclasses.replace(self.training, defence=defence)
    begin = training.init(params)
    state, _ = training.train(key_train, begin, pool, defended, rounds=self.rounds)
    return self._test(key_test, state.params, held_out)

  def _test(self, key: jax.Array, params: Params, held_out: Pool) -> jax.Array:
    """The accuracy on each new task, [tasks]."""
    return training.meta_test(key, params, held_out, self.training, tasks=self.tasks)

  def _name(self, defence: AnyDefence | None) -> str:
    """The name, in the store, of what all of a measurement depends on."""
    given = self._given(defence)
    computed = fingerprints.of_computation(self._learn, *given)
    versions = _VERSION, jax.__version__, jax.default_backend()
    return f'learning-{fingerprints.of(*versions, computed, given)}'


def _mean(found: np.ndarray) -> Rate:
  """The mean of accuracies, with its interval; one that diverged counts as 0."""
  return share(float(np.nan_to_num(found.astype(np.float64)).mean()), len(found))
