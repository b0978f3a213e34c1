"""The timed work of a PyTorch contestant: whole attacks, or rounds of meta-training."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers import sequential, vmapped
from benchmarks.peers.networks import Weights, from_jax, images_from_jax, make_network
from benchmarks.peers.objectives import Attack, flatten

STYLES = {'torch_sequential': sequential, 'torch_func': vmapped}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """One piece of timed work.

  Attributes:
    style: the way to differentiate, a key of `STYLES`.
    kind: the work, 'attack' or 'training'.
    network: name of the network, as in `make_network`.
    activation: activation function of the network, as in `make_network`.
    target: the set that an attack reconstructs, 'query' or 'support'.
    units: number of candidates, or of rounds of training, in a run.
    iterations: number of steps of a reconstruction.
    learning_rate: step size of a reconstruction, or of the meta-learner in training.
    decay: factor of the step size at each cut in a reconstruction.
    tv_weight: weight of the total variation in a reconstruction.
    inner_steps: number of steps of the adaptation.
    inner_learning_rate: step size of the adaptation.
  """

  style: str
  kind: str
  network: str
  activation: str
  target: str
  units: int
  iterations: int
  learning_rate: float
  decay: float
  tv_weight: float
  inner_steps: int
  inner_learning_rate: float


def prepare(settings: Settings, problem: Path) -> tuple[Callable[[], Any], dict[str, Any]]:
  """Loads the work to be timed.

  Convolutions are those of oneDNN or PyTorch's own, whichever are faster on this work. Weights
  and images have their channels last in memory, which is faster with both.

  Args:
    settings: the work.
    problem: the arrays that mamljax drew for the same work, as `numpy.savez` wrote them.

  Returns:
    A function that does the work once, and facts about it for the results.
  """
  with np.load(problem) as arrays:
    make = {'attack': load_attack, 'training': _training}[settings.kind]
    run, turn = make(settings, arrays)
  seconds = {enabled: _time(turn, onednn=enabled) for enabled in (True, False)}
  torch.backends.mkldnn.enabled = seconds[True] <= seconds[False]
  in_flight = settings.units if settings.style == 'torch_func' else 1
  in_flight = 1 if settings.kind == 'training' else in_flight
  facts = {
    'units': settings.units,
    'in_flight': in_flight,
    'version': torch.__version__,
    'convolutions': 'oneDNN' if torch.backends.mkldnn.enabled else 'native',
  }
  return run, facts


def _time(turn: Callable[[], Any], *, onednn: bool) -> float:
  """The seconds that a turn takes, the fastest of three."""
  torch.backends.mkldnn.enabled = onednn
  turn()
  seconds = []
  for _ in range(3):
    start = time.process_time()
    turn()
    seconds.append(time.process_time() - start)
  return min(seconds)


def _weights(arrays: Mapping[str, np.ndarray], device: str = 'cpu') -> list[torch.Tensor]:
  """The meta-knowledge w, with channels last in memory."""
  layers = [arrays[f'layer_{i}'] for i in range(int(arrays['layers']))]
  weights = from_jax(layers, arrays['query'].shape[-1])
  return [_channels_last(weight).to(device).requires_grad_() for weight in weights]


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
  """The tensor with its channels last in memory, which is faster to convolve."""
  if tensor.ndim == 5:
    return _channels_last(tensor.flatten(0, 1)).unflatten(0, tensor.shape[:2])
  return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def load_attack(
  settings: Settings,
  arrays: Mapping[str, np.ndarray],
  *,
  device: str = 'cpu',
  wrap: Callable[[Callable], Callable] = lambda slopes: slopes,
) -> tuple[Callable, Callable]:
  """The reconstructions as one call, and a single step to be timed for the choice above.

  Args:
    settings: the work.
    arrays: those of `prepare`.
    device: PyTorch's name of the device.
    wrap: makes the function of the objectives' gradients another, such as a compiled one.
  """
  attack = Attack(
    make_network(settings.network, activation=settings.activation),
    _weights(arrays, device),
    torch.from_numpy(arrays['labels']).long().to(device),
    settings.tv_weight,
    settings.inner_steps,
    settings.inner_learning_rate,
  )
  count, layers = settings.units, int(arrays['layers'])
  received = torch.stack([_received(arrays, layers, i) for i in range(count)]).to(device)
  start = _channels_last(images_from_jax(arrays['start'][:count])).to(device)
  support = settings.target == 'support'
  query = _channels_last(images_from_jax(arrays['query'][:count])) if support else None
  query = None if query is None else query.to(device)
  slopes = wrap(functools.partial(STYLES[settings.style].slopes, attack))

  def run() -> Any:
    if settings.style == 'torch_func':
      return reconstruct(settings, slopes, start, received, query)
    return [
      reconstruct(
        settings,
        slopes,
        start[i : i + 1],
        received[i : i + 1],
        None if query is None else query[i : i + 1],
      )
      for i in range(count)
    ]

  in_flight = slice(None) if settings.style == 'torch_func' else slice(1)
  query_sets = None if query is None else query[in_flight]
  return run, lambda: slopes(start[in_flight], received[in_flight], query_sets)


def _received(arrays: Mapping[str, np.ndarray], layers: int, i: int) -> torch.Tensor:
  """The gradient that was received in a unit of work, as one vector."""
  leaves = [arrays[f'received_{j}'][i] for j in range(layers)]
  return flatten(from_jax(leaves, arrays['query'].shape[-1]))


def reconstruct(
  settings: Settings,
  slopes: Callable[..., tuple[torch.Tensor, torch.Tensor]],
  start: torch.Tensor,
  received: torch.Tensor,
  query: torch.Tensor | None,
) -> torch.Tensor:
  """Reconstructed images: signed Adam within [0, 1], with three cuts of the step size."""
  images = start.clone()
  optimizer = torch.optim.Adam([images], lr=settings.learning_rate)
  cuts = [settings.iterations * eighths // 8 for eighths in (3, 5, 7)]
  schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, cuts, settings.decay)
  for _ in range(settings.iterations):
    _, slope = slopes(images, received, query)
    images.grad = slope.sign_()
    optimizer.step()
    images.clamp_(0, 1)
    schedule.step()
  return images


def _training(
  settings: Settings, arrays: Mapping[str, np.ndarray]
) -> tuple[Callable, Callable]:
  """Rounds of meta-training on given tasks as one call, and a single round to be timed."""
  weights: Weights = _weights(arrays)
  network = make_network(settings.network, activation=settings.activation)
  labels = torch.from_numpy(arrays['labels']).long()
  support, query = (_channels_last(images_from_jax(arrays[x])) for x in ('support', 'query'))
  optimizer = torch.optim.Adam(weights, lr=settings.learning_rate)
  meta_gradient = STYLES[settings.style].meta_gradient

  def turn() -> None:
    steps = settings.inner_steps, settings.inner_learning_rate
    gradients = meta_gradient(network, weights, (support, labels), (query, labels), *steps)
    for weight, gradient in zip(weights, gradients, strict=True):
      weight.grad = gradient.detach()
    optimizer.step()

  def run() -> None:
    for _ in range(settings.units):
      turn()

  return run, turn
