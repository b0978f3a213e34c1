# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Audit of an own model
#
# How much does one update of this model tell of the data behind it? Three things are needed: a
# loss `(params, batch) -> mean`, arrays of data, and how learners adapt.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import mamljax

# %% [markdown]
# The data: 30 measurements of a thousand patients, and a diagnosis. `from_arrays` divides them
# into public references, calibration and victims.

# %%
rng = np.random.default_rng(0)
diagnoses = np.array(['asthma', 'diabetes', 'healthy', 'migraine'])
kinds = rng.integers(4, size=1000)
records = rng.normal(size=(4, 30))[kinds] + rng.normal(size=(1000, 30))
data = mamljax.from_arrays(records.astype('float32'), diagnoses[kinds])
data

# %% [markdown]
# The model: a hidden layer, as plain arrays. `batch.images` are the records.


# %%
def loss_fn(params, batch):
  """Cross-entropy, the mean over the batch."""
  hidden = jnp.tanh(batch.images @ params['hidden']['w'] + params['hidden']['b'])
  logits = hidden @ params['output']['w'] + params['output']['b']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def init(key, inputs=30, hidden=64, ways=3):
  """Small random weights."""
  first, second = jax.random.split(key)
  return {
    'hidden': {'w': 0.2 * jax.random.normal(first, (inputs, hidden)), 'b': jnp.zeros(hidden)},
    'output': {'w': 0.2 * jax.random.normal(second, (hidden, ways)), 'b': jnp.zeros(ways)},
  }


# %% [markdown]
# The audit: 3-way 1-shot tasks, one inner step of 0.1. The answer shows itself.

# %%
learner = mamljax.Learner(1, 0.1)
options = {'ways': 3, 'shots': 1, 'progress': False}
attacks = ['loss', 'gradient_cosine_z', 'row_space', 'matched_filter']
report = mamljax.audit_tasks(
  loss_fn, init(jax.random.key(0)), data, learner, attacks=attacks, **options
)
report

# %% [markdown]
# The same as a table, and the ROC curve of the strongest attack beside that of the loss, which
# does not look at the update.

# %%
print(report.table)
for attack in (report.worst.attack, 'loss'):
  fpr, tpr = report.roc(attack=attack)
  plt.plot(fpr, tpr, label=attack)
plt.xlabel('false positive rate')
plt.ylabel('true positive rate')
plt.legend()
plt.show()

# %% [markdown]
# Noise on what is sent, as the learner publishes it: how much hides the records? The report
# says which attacks do not know of it.

# %%
for scale in (0.0003, 0.003, 0.03):
  noisy = mamljax.Learner(1, 0.1, defence=mamljax.Defence(outgoing=mamljax.Gaussian(scale)))
  found = mamljax.audit_tasks(
    loss_fn,
    init(jax.random.key(0)),
    data,
    noisy,
    attacks=[*attacks[1:], 'noise_filter'],
    **options,
  )
  accuracy = ' '.join(f'{rate:.3f}' for rate in found.worst.accuracy)
  print(f'{scale}: {found.worst.attack} {accuracy}')

# %% [markdown]
# An accuracy near 0.5 would not mean "safe": only that these attacks found nothing.
