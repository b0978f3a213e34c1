"""Identifiability of a task from its meta-gradient: Proposition 3.1 and appendix, corrected.

The proposition says that for another support set M_s there is a query set M_q such that the
task {M_s, M_q} sends the same gradient g. Its proof (equation 8) requires

    grad L(theta'; M_q) = g' = (d theta' / d w)^-T g,

where theta' is w adapted on M_s; with one inner step the matrix is I - alpha H(w; M_s) (the
paper prints a plus sign and no step size). The proof then takes M_q from g' by a result on
gradient inversion, which recovers an input from its gradient. But not every vector is the
gradient of some data:

- Rank. The gradient of a fully connected first layer is a sum over images of [x; 1] delta^T.
  That of n query images has at most rank n (`least_mismatch`).
- Row space. After any number of inner steps, the loss depends on that layer only through its
  products with the task's images, so that these span its part of g. If there are no more of
  them than units, and fewer than inputs, they can be recognised (`distance_to_row_space`).
- Balance. The loss does not change if the weights into a ReLU unit are scaled up and those
  out of it down, so that every gradient is orthogonal to that direction (`relu_imbalance`).

Where none of these is an obstruction, as for the neuron of the appendix (`match_neuron`) or
for a narrow, smooth network (`match_network`), M_q can exist. All functions are meant for
float64.
"""

from mamljax.identifiability.network import Match, match_network, query_gradient
from mamljax.identifiability.neuron import (
  NeuronQuery,
  match_neuron,
  neuron_gradient,
  neuron_hessian,
  neuron_loss,
)
from mamljax.identifiability.obstructions import (
  distance_to_row_space,
  least_mismatch,
  relu_imbalance,
)

__all__ = [
  'Match',
  'NeuronQuery',
  'distance_to_row_space',
  'least_mismatch',
  'match_network',
  'match_neuron',
  'neuron_gradient',
  'neuron_hessian',
  'neuron_loss',
  'query_gradient',
  'relu_imbalance',
]
