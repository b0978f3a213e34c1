"""Equations 9 and 10 and the meta-loss in PyTorch, for either of its ways to differentiate.

A way is a function `gradient(loss, weights)` with the gradient of a function of the weights,
which can be differentiated again.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from benchmarks.peers.networks import Network, Weights

Set = tuple[torch.Tensor, torch.Tensor]  # images and labels
Gradient = Callable[[Callable[[Weights], torch.Tensor], Weights], Weights]


class Attack(NamedTuple):
  """Everything in an attack's objective that is common to all candidates.

  Attributes:
    network: a function of `make_network`.
    weights: the meta-knowledge w.
    labels: the labels of the candidates' images, and of the query set.
    tv_weight: the weight a of the total variation in equation 9.
    inner_steps: number of steps of the adaptation that a support attack simulates.
    inner_learning_rate: step size of that adaptation.
  """

  network: Network
  weights: Weights
  labels: torch.Tensor
  tv_weight: float
  inner_steps: int
  inner_learning_rate: float


def objective(
  gradient: Gradient,
  attack: Attack,
  images: torch.Tensor,
  received: torch.Tensor,
  query: torch.Tensor | None,
) -> torch.Tensor:
  """The objective of a candidate: 1 - cos(simulated, received) + a TV(images), a scalar.

  Args:
    gradient: the way to differentiate.
    attack: the parts common to all candidates.
    images: the candidate, [n, channels, height, width].
    received: the received gradient, flattened.
    query: the images of the known query set, in a support attack; None in a query attack.
  """
  candidate = (images, attack.labels)

  def loss(weights: Weights) -> torch.Tensor:
    if query is None:
      return mean_loss(attack.network, weights, candidate)
    sets = (candidate, (query, attack.labels))
    steps = (attack.inner_steps, attack.inner_learning_rate)
    return task_loss(gradient, attack.network, weights, *sets, *steps)

  simulated = flatten(gradient(loss, attack.weights))
  mismatch = 1 - torch.dot(simulated, received) / (simulated.norm() * received.norm())
  return mismatch + attack.tv_weight * total_variation(images)


def mean_loss(network: Network, weights: Weights, batch: Set) -> torch.Tensor:
  """The mean cross-entropy of a batch."""
  images, labels = batch
  return F.cross_entropy(network(weights, images), labels)


def task_loss(
  gradient: Gradient,
  network: Network,
  weights: Weights,
  support: Set,
  query: Set,
  steps: int,
  learning_rate: float,
) -> torch.Tensor:
  """The query loss after `steps` of gradient descent on the support set."""
  theta = weights
  for _ in range(steps):
    slopes = gradient(lambda w: mean_loss(network, w, support), theta)
    theta = [t - learning_rate * s for t, s in zip(theta, slopes, strict=True)]
  return mean_loss(network, theta, query)


def total_variation(images: torch.Tensor) -> torch.Tensor:
  """The mean absolute difference of vertical neighbours plus that of horizontal ones."""
  vertical = images[..., 1:, :] - images[..., :-1, :]
  horizontal = images[..., 1:] - images[..., :-1]
  return vertical.abs().mean() + horizontal.abs().mean()


def flatten(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
  """The numbers of some tensors in one vector."""
  return torch.cat([tensor.reshape(-1) for tensor in tensors])
