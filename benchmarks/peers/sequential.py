"""The way of the paper: autograd with `create_graph`, one candidate or task at a time."""

from collections.abc import Callable

import torch

from benchmarks.peers.networks import Network, Weights
from benchmarks.peers.objectives import Attack, Set, objective, task_loss


def gradient(loss: Callable[[Weights], torch.Tensor], weights: Weights) -> Weights:
  """The gradient of a loss in the weights, in a graph that can be differentiated again."""
  return torch.autograd.grad(loss(weights), tuple(weights), create_graph=True)


def slopes(
  attack: Attack, images: torch.Tensor, received: torch.Tensor, query: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
  """The objective of each candidate and its gradient in the images.

  Args:
    attack: the parts common to all candidates; its weights require gradients.
    images: the candidates, [candidates, n, channels, height, width].
    received: the received gradients, [candidates, weights].
    query: the query sets [candidates, n, channels, height, width], or None.
  """
  values, gradients = [], []
  for index in range(len(images)):
    candidate = images[index].detach().requires_grad_()
    query_set = None if query is None else query[index]
    value = objective(gradient, attack, candidate, received[index], query_set)
    gradients.append(torch.autograd.grad(value, candidate)[0])
    values.append(value.detach())
  return torch.stack(values), torch.stack(gradients)


def meta_gradient(
  network: Network,
  weights: Weights,
  supports: Set,
  queries: Set,
  steps: int,
  learning_rate: float,
) -> Weights:
  """The mean meta-gradient of some tasks.

  Args:
    network: a function of `make_network`.
    weights: the meta-knowledge w, which requires gradients.
    supports: images [tasks, n, channels, height, width] and labels [n] of the support sets.
    queries: images and labels of the query sets, of these shapes.
    steps: inner steps.
    learning_rate: step size of the inner loop.
  """
  total = [torch.zeros_like(weight) for weight in weights]
  for support, query in zip(supports[0], queries[0], strict=True):
    sets = (support, supports[1]), (query, queries[1])
    loss = task_loss(gradient, network, weights, *sets, steps, learning_rate)
    task_gradient = torch.autograd.grad(loss, tuple(weights))
    total = [a + b for a, b in zip(total, task_gradient, strict=True)]
  return [leaf / len(supports[0]) for leaf in total]
