"""A defence of one's own: compression of the update, beside none."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

import mamljax
from mamljax.data import load_dataset


class Largest(NamedTuple):
  """Keeps the largest numbers of each array, and sends 0 for the others.

  Attributes:
    share: of the numbers that are kept.
  """

  share: float

  def __call__(self, key, value):
    """The update as it is sent."""
    del key  # a hook that draws noise needs it

    def keep(leaf):
      size = jnp.abs(leaf)
      return jnp.where(size >= jnp.quantile(size, 1 - self.share), leaf, 0)

    return jax.tree.map(keep, value)


dataset = load_dataset('mnist_sample')
data = mamljax.from_arrays(dataset.images, dataset.labels)
network = mamljax.make_network('mlp', ways=3)
loss_fn = mamljax.CrossEntropy(network)
params = mamljax.init_params(jax.random.key(0), network, (28, 28, 1))

defences = {
  'none': mamljax.Defence(),
  'the largest tenth': mamljax.Defence(outgoing=Largest(0.1)),
}
for name, defence in defences.items():
  report = mamljax.audit_tasks(
    loss_fn,
    params,
    data,
    mamljax.Learner(1, 0.1, defence=defence),
    ways=3,
    shots=1,
    trials=100,
    attacks=['gradient_cosine_z', 'row_space', 'matched_filter'],
  )
  print(f'{name}: {report.verdict}')
  print('\n'.join(report.warnings))
