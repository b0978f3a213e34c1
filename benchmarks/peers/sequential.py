"""The paper's way: autograd with `create_graph`, one candidate or one task at a time."""

from collections.abc import Callable

import torch

from benchmarks.peers.networks import Network, Weights
from benchmarks.peers.objectives import Attack, Set, objective, task_loss


def gradient(loss: Callable[[Weights], torch.Tensor], weights: Weights) -> Weights:
  """The gradient, in a graph that can be differentiated again."""
  return torch.autograd.grad(loss(weights), tuple(weights), create_graph=True)


def slopes(
  attack: Attack, images: torch.Tensor, received: torch.Tensor, query: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
  """The objective of each candidate and its gradient in the images.

  Args:
    attack: what is attacked; its weights require gradients.
    images: the guesses, [candidates, n, channels, height, width].
    received: the gradients, [candidates, numbers].
    query: the query sets [candidates, n, channels, height, width], or None.
  """
  values, found = [], []
  for index in range(len(images)):
    guess = images[index].detach().requires_grad_()
    known = None if query is None else query[index]
    value = objective(gradient, attack, guess, received[index], known)
    found.append(torch.autograd.grad(value, guess)[0])
    values.append(value.detach())
  return torch.stack(values), torch.stack(found)


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
    network: of `make_network`.
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
    one = torch.autograd.grad(loss, tuple(weights))
    total = [a + b for a, b in zip(total, one, strict=True)]
  return [leaf / len(supports[0]) for leaf in total]
