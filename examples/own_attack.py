"""An attack of one's own, in one file, beside those of the package.

The idea (Phong et al., 2018): in the gradient of a fully connected first layer, the column of a
unit that one image alone reaches is that image, scaled: a member resembles one of the columns.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

import mamljax
from mamljax.data import load_dataset


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class BestColumn(mamljax.BaseAttack):
  """Cosine of the candidate and the column of the first layer's gradient most like it.

  Attributes:
    power: exponent of the columns' lengths that the cosine is weighed by; 0 for none.
  """

  power: float = 0.0

  # For each set that it can seek, what it must be told beside the loss, w and the update.
  requires: ClassVar = {'query': frozenset(), 'support': frozenset()}

  def score(self, key, prepared, observation, candidate):
    """A number, higher for a member; pure, since it is compiled and mapped over trials."""
    del key, prepared
    columns = observation.gradient['Dense_0']['kernel']
    lengths = jnp.linalg.norm(columns, axis=0)
    image = candidate.image.ravel()
    cosines = jnp.abs(image @ columns) / (jnp.linalg.norm(image) * lengths + 1e-12)
    return jnp.max(cosines * (lengths / lengths.max()) ** self.power), mamljax.Info()


dataset = load_dataset('mnist_sample')
data = mamljax.from_arrays(dataset.images, dataset.labels)
network = mamljax.make_network('mlp', ways=3)
params = mamljax.init_params(jax.random.key(0), network, (28, 28, 1))

report = mamljax.audit_tasks(
  mamljax.CrossEntropy(network),
  params,
  data,
  mamljax.InnerLoop(1, 0.1),
  ways=3,
  shots=1,
  attacks=[BestColumn(), BestColumn(power=0.5), 'gradient_cosine', 'row_space'],
)
print(report)
