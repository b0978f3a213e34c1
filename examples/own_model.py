"""An audit of a model of one's own, an Equinox network, in fifteen lines."""

import equinox as eqx
import jax
import optax

import mamljax
from mamljax.data import load_dataset

digits = load_dataset('mnist_sample')
data = mamljax.from_arrays(digits.images, digits.labels)
params, static = eqx.partition(eqx.nn.MLP(784, 5, 64, 1, key=jax.random.key(0)), eqx.is_array)


def loss_fn(params, batch):
  """Cross-entropy of the network, the mean over the batch."""
  logits = jax.vmap(eqx.combine(params, static))(batch.images.reshape(-1, 784))
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


learner = mamljax.Learner(1, 0.1)
report = mamljax.audit_tasks(loss_fn, params, data, learner, ways=5, shots=1)
print(report)
report.save('audit.html')
