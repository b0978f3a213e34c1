"""Accuracy of learning under a defence: a model that is meta-trained with it, on new tasks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks, training
from mamljax.audit.metrics import Rate, share
from mamljax.checks import Checked, count
from mamljax.defences import Defence, Mechanism, as_defence
from mamljax.errors import InputError
from mamljax.training import Training
from mamljax.types import Params, Pool


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

  Raises:
    InputError: if a number is not as above, or the training has a defence of its own.
  """

  training: Training
  params: Params
  pool: Pool
  held_out: Pool
  rounds: int = dataclasses.field(metadata=count(1))
  tasks: int = dataclasses.field(default=1000, metadata=count(2))
  seed: int = 0

  def __post_init__(self):
    super().__post_init__()
    own = getattr(self.training.inner, 'defence', None)
    if own is not None or self.training.defence.has_hooks:
      raise InputError('training must come without a defence: it takes those it is compared by')
    checks.whole('seed', self.seed, least=0)

  def __call__(self, defence: Defence | Mechanism | None) -> Rate:
    """The mean accuracy under a defence, with its interval."""
    defended = dataclasses.replace(self.training, defence=as_defence(defence) or Defence())
    key_train, key_test = jax.random.split(jax.random.key(self.seed))
    # Pools of `from_arrays` hold NumPy arrays, which cannot be indexed in a traced round.
    given = self.params, self.pool, self.held_out
    params, pool, held_out = jax.tree.map(jnp.asarray, given)
    state, _ = training.train(
      key_train, training.init(params), pool, defended, rounds=self.rounds
    )
    found = training.meta_test(
      key_test, state.params, held_out, self.training, tasks=self.tasks
    )
    return share(float(np.nan_to_num(np.asarray(found, np.float64)).mean()), self.tasks)
