"""Identifiability of a task from its meta-gradient: Proposition 3.1 and appendix, corrected.

The proposition says that for another support set M_s there is a query set M_q with which
{M_s, M_q} sends the same gradient g. Its proof (equation 8) asks for

    grad L(theta'; M_q) = g' = (d theta' / d w)^-T g,

where theta' is w adapted on M_s; with one inner step the matrix is I - alpha H(w; M_s) (the
paper prints a plus sign and no rate). It then takes M_q from g' by a result on gradient
inversion, which finds the input behind what is known to be the gradient of one input. But
not every vector is a gradient, whatever its entries:

- Rank. The gradient of a fully connected first layer is a sum over images of [x; 1] delta^T:
  that of n query images has rank n at most (`least_mismatch`).
- Row space. The loss after any number of inner steps depends on that layer through its
  products with the task's images alone, so they span its part of g. If they are no more
  than its units, and fewer than its inputs, this tells them (`distance_to_row_space`).
- Balance. To scale a ReLU unit's weights up and those that leave it down changes no loss,
  so every gradient is orthogonal to that direction (`relu_imbalance`).

Where none of these stands in the way, as for the appendix's neuron (`match_neuron`) or a
narrow, smooth network (`match_network`), M_q can exist. All is meant for float64.
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
