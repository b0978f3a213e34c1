"""Examples of any kind as a pool holds them, uint8 or float32: changed only if it is said."""

from typing import Any

import numpy as np

from mamljax import checks
from mamljax.errors import InputError

CHANNELS = ('first', 'last', 'none')
_FEW = (1, 2, 3, 4)  # channels of a picture; more rows or columns than these is a side
_WIDE = {'<u2': '65535 (or by 4095, if they have 12 bits)', '<u4': '4294967295'}


def as_examples(
  name: str, inputs: Any, *, channels: str | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The examples as uint8 or float32 [n, ...] in C order, and remarks on what was changed.

  Args:
    name: the inputs' name in messages.
    inputs: an array, or anything that NumPy makes one of.
    channels: see `mamljax.from_arrays`.

  Raises:
    InputError: if they are no finite numbers, or it is not certain what they mean.
  """
  array = _as_array(name, inputs)
  if array.ndim < 2 or array.size == 0:
    raise InputError(
      f'{name} must be images [n, height, width, channels] or vectors [n, features], not '
      f'{list(array.shape)}' + (': reshape(-1, 1) makes vectors' if array.ndim == 1 else '')
    )
  placed, remarks = _place_channels(name, array, channels)
  numbers, more = _numbers(name, placed)
  return np.ascontiguousarray(numbers), remarks + more


def _as_array(name: str, inputs: Any) -> np.ndarray:
  """The inputs as an array in this machine's byte order."""
  try:
    array = np.asarray(inputs)
  except Exception as error:  # ragged lists, and tensors on a device or with a gradient
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise InputError(f'{name} are no array: {reason}') from error
  return array.astype(array.dtype.newbyteorder('='), copy=False)


def _place_channels(
  name: str, array: np.ndarray, channels: str | None
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The images with their channels last, if they are images; refuses what looks otherwise."""
  if channels is not None:
    checks.one_of('channels', channels, CHANNELS)
  if array.ndim == 3 and channels != 'none':
    height, width = array.shape[1:]
    return array[..., None], (f'images [{height}, {width}] became [{height}, {width}, 1]',)
  if array.ndim != 4 or channels in ('last', 'none'):
    return array, ()
  if channels == 'first':
    return np.moveaxis(array, 1, -1), ()
  if array.shape[1] in _FEW and array.shape[2] > 4 and array.shape[3] > 4:
    raise InputError(
      f'{name} {list(array.shape)} look like channels first: move them last by '
      f"np.moveaxis(x, 1, -1); to from_arrays say channels='first', or 'last' if they are"
    )
  return array, ()


def _numbers(name: str, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
  """The numbers as uint8 or float32; refuses a type whose numbers mean one or another thing."""
  kind, is_picture = array.dtype.kind, array.ndim > 2
  if array.dtype == np.uint8:
    return _bytes(name, array), ('uint8: 0..255 is [0, 1]',)
  if array.dtype.str in _WIDE:
    raise InputError(
      f'{name} are {array.dtype}, whose white is not known: divide by '
      f"{_WIDE[array.dtype.str]} and give floats, x.astype('float32')"
    )
  if kind in 'iub' and is_picture:
    raise InputError(
      f'{name} are {array.dtype}: give pixels in 0..255 as x.astype("uint8"), and numbers '
      f'that are used as they are as x.astype("float32")'
    )
  if kind not in 'iubf' and array.dtype.name != 'bfloat16':
    raise InputError(f'{name} must be numbers, not {array.dtype}')
  return _floats(name, array, is_picture=is_picture)


def _bytes(name: str, array: np.ndarray) -> np.ndarray:
  """The bytes; refuses those that are 0 and 1, of which 255 is white."""
  if array.max() == 1:
    raise InputError(
      f'{name} are 0 and 1 in uint8, in which 255 is white: give x.astype("float32"), or 255 '
      f'times as large'
    )
  return array


def _floats(
  name: str, array: np.ndarray, *, is_picture: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The numbers in float32, as they are; refuses what float32 cannot tell apart."""
  with np.errstate(over='ignore'):
    floats = array.astype(np.float32, copy=False)
  finite = np.isfinite(floats)
  if not finite.all():
    first = tuple(map(int, np.argwhere(~finite)[0]))
    raise InputError(
      f'{name} must be finite: {np.count_nonzero(~finite)} numbers are not in float32, the '
      f'first of them {array[first]} at {list(first)}'
    )
  if is_picture:
    low, high = float(floats.min()), float(floats.max())
    checks.undivided(name, floats, low=low, high=high)
  if array.dtype == np.float32:
    return floats, ()
  _check_precision(name, array.reshape(len(array), -1), floats.reshape(len(array), -1))
  return floats, (f'{array.dtype} became float32, to rounding',)


def _check_precision(name: str, exact: np.ndarray, rounded: np.ndarray) -> None:
  """Refuses features whose range float32 would round away, as of times in seconds."""
  exact = exact.astype(np.float64, copy=False)
  extent, error = np.ptp(exact, axis=0), np.abs(exact - rounded).max(axis=0)
  if (lost := np.flatnonzero((extent > 0) & (error > 1e-3 * extent))).size:
    raise InputError(
      f'{name}: feature {lost[0]} has a range of {extent[lost[0]]:.3g}, and float32 rounds it '
      f'by {error[lost[0]]:.3g}: take the mean of it off and divide by its deviation'
    )
