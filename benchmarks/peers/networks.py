"""Conv4 and the MLP in PyTorch, as functions of their parameters.

They have PyTorch's own layout: images [n, channels, height, width], weights [out, in, ...]. A
strided 3 x 3 convolution with `padding=1` pads both ends of an axis, but 'SAME' pads only the
far end of an even one; on mirrored images with mirrored kernels the two agree. `from_jax` and
`images_from_jax` mirror once, so that nothing is padded by hand in the timed work.
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
    activation: 'relu' or 'softplus', which is the softplus(5 z) / 5 of mamljax.
  """
  # PyTorch's softplus is linear above `threshold`; at the default the error is visible.
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
  """Images of mamljax, [..., height, width, channels], in PyTorch's layout, mirrored."""
  order = (*range(images.ndim - 3), images.ndim - 1, images.ndim - 3, images.ndim - 2)
  return torch.from_numpy(np.array(images[..., ::-1, ::-1, :].transpose(order)))


def from_jax(layers: Sequence[np.ndarray], channels: int) -> list[torch.Tensor]:
  """Weights of mamljax, or a gradient in them, in the layout of `make_network`.

  Args:
    layers: kernel and bias of each layer in turn, with kernels [height, width, in, out] or
      [in, out], for images flattened with their channels last.
    channels: number of channels of the images, for a network without convolutions.
  """
  is_flattened = False
  converted = []
  for layer in layers:
    tensor = torch.from_numpy(np.array(layer))
    if tensor.ndim == 4:
      tensor = tensor.permute(3, 2, 0, 1).flip(_SPATIAL)
      channels = tensor.shape[0]
    elif tensor.ndim == 2:
      tensor = tensor.T if is_flattened else _unflatten(tensor.T, channels)
      is_flattened = True
    converted.append(tensor.contiguous())
  return converted


def _unflatten(weight: torch.Tensor, channels: int) -> torch.Tensor:
  """Weights [out, side * side * channels] for images flattened with their channels first."""
  side = round((weight.shape[1] // channels) ** 0.5)
  places = weight.reshape(-1, side, side, channels).permute(0, 3, 1, 2)
  return places.flip(_SPATIAL).reshape(weight.shape)
