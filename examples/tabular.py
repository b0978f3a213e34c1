"""Tables: how much one update tells of the records behind it.

Records of 30 measurements with the name of a diagnosis; a network of one hidden layer, as plain
arrays. An audit needs a loss `(params, batch) -> mean`: `batch.images` are the records.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import mamljax

rng = np.random.default_rng(0)
diagnoses = np.array(['asthma', 'diabetes', 'healthy', 'migraine'])
kinds = rng.integers(4, size=1000)
records = rng.normal(size=(4, 30))[kinds] + rng.normal(size=(1000, 30))
data = mamljax.from_arrays(records, diagnoses[kinds])
print(data)

WAYS, HIDDEN = 3, 64
params = {
  'hidden': {'w': jnp.asarray(0.2 * rng.normal(size=(30, HIDDEN))), 'b': jnp.zeros(HIDDEN)},
  'output': {'w': jnp.asarray(0.2 * rng.normal(size=(HIDDEN, WAYS))), 'b': jnp.zeros(WAYS)},
}


def loss_fn(params, batch):
  """Cross-entropy of the network, the mean over the batch."""
  hidden = jax.nn.relu(batch.images @ params['hidden']['w'] + params['hidden']['b'])
  logits = hidden @ params['output']['w'] + params['output']['b']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


learner = mamljax.InnerLoop(1, 0.1)
report = mamljax.audit_tasks(loss_fn, params, data, learner, ways=WAYS, shots=1)
print(report)
