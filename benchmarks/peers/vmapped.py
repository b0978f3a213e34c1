"""The way of PyTorch's function transforms: `torch.func.grad` of itself, under `vmap`."""

import functools
from collections.abc import Callable

import torch

from benchmarks.peers.networks import Network, Weights
from benchmarks.peers.objectives import Attack, Set, objective, task_loss


def gradient(loss: Callable[[Weights], torch.Tensor], weights: Weights) -> Weights:
  """The gradient of a loss in the weights, as a function transform."""
  return torch.func.grad(loss)(weights)


def slopes(
  attack: Attack, images: torch.Tensor, received: torch.Tensor, query: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
  """`benchmarks.peers.sequential.slopes` for all candidates at once."""
  one_candidate = torch.func.grad_and_value(functools.partial(objective, gradient, attack))
  in_dims = (0, 0, None if query is None else 0)
  slopes, values = torch.func.vmap(one_candidate, in_dims=in_dims)(images, received, query)
  return values.detach(), slopes.detach()


def meta_gradient(
  network: Network,
  weights: Weights,
  supports: Set,
  queries: Set,
  steps: int,
  learning_rate: float,
) -> Weights:
  """`benchmarks.peers.sequential.meta_gradient` for all tasks at once."""

  def one_task(weights: Weights, support: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    sets = (support, supports[1]), (query, queries[1])
    return task_loss(gradient, network, weights, *sets, steps, learning_rate)

  every_task = torch.func.vmap(torch.func.grad(one_task), in_dims=(None, 0, 0))
  gradients = every_task(list(weights), supports[0], queries[0])
  return [gradient.mean(dim=0) for gradient in gradients]
