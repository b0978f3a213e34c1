"""Data of an audit from anybody's arrays: disjoint pools of public and private examples."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from mamljax import checks
from mamljax.data.class_labels import Classes, number_classes
from mamljax.data.dataset import Dataset, arrange, content_hashes, split_dataset
from mamljax.data.examples import as_examples
from mamljax.errors import InputError
from mamljax.types import Pool

# Of references, calibration and victims: all from one source, or with public examples given.
FRACTIONS = (0.3, 0.2, 0.5)
PRIVATE_FRACTIONS = (0.0, 0.3, 0.7)
POOLS = ('references', 'calibration', 'victims')
_LEAST = 3  # examples of a class in a pool: a trial of one shot takes 2 and a candidate
_ENOUGH = 15  # examples of a class, of which a fifth is _LEAST


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Data:
  """Examples for an audit, in disjoint pools; `from_arrays` makes it.

  Attributes:
    references: public examples, known to the adversary, equally many of each class.
    calibration: examples of the trials that decision thresholds are chosen on.
    victims: examples that are attacked.
    classes: the label of each class as it was given, ascending; a pool numbers them so.
    low: the least number of the references, as a model sees them; 0 for uint8.
    high: the greatest number of the references; 1 for uint8.
    input_shape: the shape of one example: (height, width, channels) or (features,).
    notes: remarks on what was changed or left out.
  """

  references: Pool
  calibration: Pool
  victims: Pool
  classes: tuple[Any, ...]
  low: float
  high: float
  input_shape: tuple[int, ...]
  notes: tuple[str, ...] = ()

  @property
  def bounds(self) -> tuple[float, float]:
    """The public range, for `Knowledge.bounds`."""
    return self.low, self.high

  def __repr__(self) -> str:
    """A summary on a few lines."""
    kind = 'images' if len(self.input_shape) == 3 else 'examples'
    shown = ', '.join(map(repr, self.classes[:5])) + (', ...' if len(self.classes) > 5 else '')
    sides = ' x '.join(map(str, self.input_shape))
    lines = [f'  {name:<12}{_sizes(getattr(self, name))}' for name in POOLS]
    total = sum(len(getattr(self, name).images) for name in POOLS)
    return '\n'.join(
      [
        f'{total} {kind} of {sides} numbers in [{self.low:.4g}, {self.high:.4g}], '
        f'{len(self.classes)} classes: {shown}',
        *lines,
        *(f'  {note}' for note in self.notes),
      ]
    )


class _Source(NamedTuple):
  """Checked arrays: the examples, the class of each, and remarks."""

  examples: np.ndarray
  classes: Classes
  notes: tuple[str, ...]


def from_arrays(
  inputs: Any,
  labels: Any,
  *,
  public: tuple[Any, Any] | None = None,
  channels: str | None = None,
  seed: int = 0,
) -> Data:
  """Data for an audit from arrays of one's own, in disjoint pools of every class.

  uint8 stays uint8 in the pools, and a model sees 0..255 as [0, 1]. Floats are used as they
  are, whatever their range: normalised images stay so. float64, float16 and bfloat16, and
  integers in vectors, become float32 by rounding, which is noted. What could mean one thing
  or another is refused with the line that settles it: NaN, uint16, integers in images, images
  of floats that are whole numbers to 255, images with channels first, and numbers that float32
  rounds beyond recognition.

  Exact copies of an example are left out. Of each class 30 % are public references, 20 % are
  for calibration and 50 % are victims; references are cut to equally many of each class. If
  `public` is given it holds the references, and 30 % of the inputs are for calibration, 70 %
  victims; a private example that is public as well is left out. The division depends on the
  seed and on the examples, not on their order.

  Args:
    inputs: images [n, height, width, channels] with any number of channels, images [n, height,
      width], to which a channel is added, or vectors [n, features]; arrays or lists.
    labels: [n] integers, booleans or strings, in any numbers of each.
    public: inputs and labels of the adversary's own, of the same classes and shape.
    channels: 'first' moves axis 1 of images last; 'last' takes images as they are, even if they
      look like channels first; 'none' adds no channel to [n, height, width]; None decides, or
      refuses.
    seed: the seed of the division, 0 or more.

  Raises:
    InputError: if inputs or labels are not as above, or a class has too few different
      examples: at least three are needed in each pool.

  >>> import numpy as np
  >>> rng = np.random.default_rng(0)
  >>> data = from_arrays(rng.normal(size=(60, 4)), ['cat', 'dog'] * 30)
  >>> data.classes, data.input_shape, data.victims.counts.tolist()
  (('cat', 'dog'), (4,), [15, 15])
  """
  checks.whole('seed', seed, least=0)
  private = _check('inputs', 'labels', inputs, labels, channels)
  if public is None:
    return _divide(private, None, seed=seed)
  if not isinstance(public, tuple | list) or len(public) != 2:
    raise InputError('public must be two arrays: (inputs, labels)')
  given = _check('public inputs', 'public labels', *public, channels)
  return _divide(*_reconcile(private, given), seed=seed)


def _check(
  inputs_name: str, labels_name: str, inputs: Any, labels: Any, channels: str | None
) -> _Source:
  """Inputs and labels, checked."""
  examples, notes = as_examples(inputs_name, inputs, channels=channels)
  return _Source(examples, number_classes(labels_name, labels, count=len(examples)), notes)


def _reconcile(private: _Source, public: _Source) -> tuple[_Source, _Source]:
  """Private and public examples, without copies of each other, their classes numbered alike."""
  mine, theirs = private.examples, public.examples
  if (mine.shape[1:], mine.dtype) != (theirs.shape[1:], theirs.dtype):
    raise InputError(
      f'public inputs are {theirs.dtype}{list(theirs.shape[1:])} each, inputs '
      f'{mine.dtype}{list(mine.shape[1:])}: they must be alike'
    )
  names = private.classes.names
  if missing := [name for name in names if name not in public.classes.names]:
    raise InputError(f'public labels lack the class {missing[0]!r} of the private ones')
  number = {name: at for at, name in enumerate(names)}
  labels = np.array([number.get(name, -1) for name in public.classes.names])
  labels = labels[public.classes.labels]
  public = _Source(theirs[labels >= 0], Classes(labels[labels >= 0], names), ())
  known = set(map(bytes, content_hashes(public.examples)))
  own = np.array([bytes(digest) not in known for digest in content_hashes(mine)])
  if not own.any():
    raise InputError('all inputs are among the public inputs: none is left to attack')
  classes = private.classes._replace(labels=private.classes.labels[own])
  left_out = _note(
    np.count_nonzero(~own),
    'private example was public and is left out',
    'private examples were public and are left out',
  )
  foreign = _note(
    np.count_nonzero(labels < 0),
    'public example of another class was left out',
    'public examples of other classes were left out',
  )
  return _Source(mine[own], classes, (*private.notes, *left_out, *foreign)), public


def _divide(private: _Source, public: _Source | None, *, seed: int) -> Data:
  """The pools of private examples and, if there are any, of public ones."""
  dataset = _arrange('inputs', private)
  fractions = FRACTIONS if public is None else PRIVATE_FRACTIONS
  split = split_dataset(dataset, seed=seed, fractions=(0.0, *fractions))
  known = split.references
  if public is not None:
    everything = _arrange('public inputs', public)
    known = split_dataset(everything, seed=seed, fractions=(0.0, 1.0, 0.0, 0.0)).references
  references = _balanced(known)
  cut = len(known.images) - len(references.images)
  low, high = _range(references.images)
  data = Data(
    references=references,
    calibration=split.calibration,
    victims=split.victims,
    classes=private.classes.names,
    low=low,
    high=high,
    input_shape=private.examples.shape[1:],
    notes=(
      *private.notes,
      *_note(
        dataset.duplicates,
        'exact copy of another example was left out',
        'exact copies of other examples were left out',
      ),
      *_note(
        cut,
        'reference was left out, so that each class has equally many',
        'references were left out, so that each class has equally many',
      ),
    ),
  )
  _check_sizes(data)
  return data


def _arrange(name: str, source: _Source) -> Dataset:
  """The data set of checked arrays; refuses a class of which no example is left."""
  dataset, names = arrange(name, source.examples, source.classes.labels), source.classes.names
  if gone := sorted(set(range(len(names))) - set(dataset.classes.tolist())):
    raise InputError(
      f'{name} of class {names[gone[0]]!r} are all exact copies of examples of other classes, '
      f'or public'
    )
  return dataset


def _balanced(pool: Pool) -> Pool:
  """The first examples of each class, as many as the smallest class has."""
  counts, starts = np.asarray(pool.counts), np.asarray(pool.starts)
  least = int(counts.min())
  rows = (starts[:, None] + np.arange(least)).ravel()
  even: Any = np.arange(len(counts), dtype=np.int32) * least, np.full_like(counts, least)
  return Pool(pool.images[rows], *even)


def _range(images: Any) -> tuple[float, float]:
  """The least and the greatest number of images as a model sees them."""
  if images.size == 0 or images.dtype == np.uint8:
    return 0.0, 1.0
  low, high = float(images.min()), float(images.max())
  if low == high:
    raise InputError(f'all numbers of the references are {low:.4g}: nothing can be told apart')
  return low, high


def _check_sizes(data: Data) -> None:
  """Refuses pools in which a class has too few examples for a trial of one shot."""
  for name in POOLS:
    counts = np.asarray(getattr(data, name).counts)
    if counts.min() < _LEAST:
      examples = 'example' if counts.min() == 1 else 'different examples'
      raise InputError(
        f'class {data.classes[counts.argmin()]!r} has {counts.min()} {examples} for '
        f'the {name}, and each class needs {_LEAST} or more there: leave the class out, or '
        f'give more examples of it ({_ENOUGH} are enough)'
      )


def _note(count: int | np.integer, one: str, many: str) -> tuple[str, ...]:
  """A remark on so many examples, if there are any."""
  return (f'{count} {one if count == 1 else many}',) if count else ()


def _sizes(pool: Pool) -> str:
  """The size of a pool, in all and of a class."""
  counts = np.asarray(pool.counts)
  low, high = counts.min(), counts.max()
  return f'{counts.sum()}: ' + (
    f'{low} of each class' if low == high else f'{low} to {high} of a class'
  )
