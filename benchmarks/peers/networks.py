"""Conv4 and the MLP in PyTorch, on parameters that are passed.

PyTorch's own layout: images [n, channels, height, width], weights [out, in, ...]. A strided
3 x 3 convolution with `padding=1` pads both ends, where 'SAME' pads the far end of an even
side alone; on mirrored images with mirrored kernels the two are one. `from_jax` and
`images_from_jax` mirror once, so that nothing is padded by hand while the clock runs.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

Weights = Sequence[torch.Tensor]  # weight and bias of each layer in turn
Network = Callable[[Weights, torch.Tensor], torch.Tensor]

_SPATIAL = (2, 3)


def make_network(name: str, *, activation: str) -> Network:
  """A function (weights, images [n, channels, height, width]) -> logits [n, ways].

  Args:
    name: 'conv4', strided and without normalisation, or 'mlp'.
    activation: 'relu' or 'softplus', the softplus(5 z) / 5 of mamljax.
  """
  # PyTorch takes softplus for linear from `threshold` on; at its default the error shows.
  softplus = functools.partial(F.softplus, beta=5, threshold=40)
  act = {'relu': F.relu, 'softplus': softplus}[activation]

  def conv4(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
      x = act(F.conv2d(x, weight, bias, stride=2, padding=1))
    return F.linear(x.flatten(1), *weights[-2:])

  def mlp(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    x = x.flatten(1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
      x = act(F.linear(x, weight, bias))
    return F.linear(x, *weights[-2:])

  return {'conv4': conv4, 'mlp': mlp}[name]


def images_from_jax(images: np.ndarray) -> torch.Tensor:
  """Images [..., height, width, channels] of mamljax as PyTorch wants them, mirrored."""
  order = (*range(images.ndim - 3), images.ndim - 1, images.ndim - 3, images.ndim - 2)
  return torch.from_numpy(np.array(images[..., ::-1, ::-1, :].transpose(order)))


def images_to_jax(images: torch.Tensor) -> np.ndarray:
  """The inverse of `images_from_jax`."""
  return images.detach().movedim(-3, -1).flip((-3, -2)).numpy()


def from_jax(layers: Sequence[np.ndarray], channels: int) -> list[torch.Tensor]:
  """Weights, or a gradient in them, as the functions of `make_network` want them.

  Args:
    layers: kernel and bias of each layer in turn: kernels [height, width, in, out] or
      [in, out], where images were flattened with their channels last.
    channels: of the images that the first fully connected layer flattens.
  """
  flattened = False
  converted = []
  for layer in layers:
    tensor = torch.from_numpy(np.array(layer))
    if tensor.ndim == 4:
      tensor = tensor.permute(3, 2, 0, 1).flip(_SPATIAL)
      channels = tensor.shape[0]
    elif tensor.ndim == 2:
      tensor = tensor.T if flattened else _unflatten(tensor.T, channels)
      flattened = True
    converted.append(tensor.contiguous())
  return converted


def _unflatten(weight: torch.Tensor, channels: int) -> torch.Tensor:
  """A layer [out, side * side * channels] for images flattened with their channels first."""
  side = round((weight.shape[1] // channels) ** 0.5)
  places = weight.reshape(-1, side, side, channels).permute(0, 3, 1, 2)
  return places.flip(_SPATIAL).reshape(weight.shape)
