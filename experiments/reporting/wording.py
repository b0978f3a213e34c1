"""Names and numbers in the form that a reader of the report sees."""

import math
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

NOTHING = '\N{EN DASH}'  # stands for a missing value
MINUS = '\N{MINUS SIGN}'
TIMES = '\N{MULTIPLICATION SIGN}'
_NO_BREAK = '\N{NO-BREAK SPACE}'

_HEADINGS = {
  'auc': 'AUC',
  'dataset': 'data set',
  'tv_weight': 'TV weight',
  'tpr_at_fpr_1pct': 'TPR at 1 % FPR',
  'tpr_at_fpr_0.1pct': 'TPR at 0.1 % FPR',
}
_DATASETS = {'mnist': 'MNIST', 'fashion_mnist': 'Fashion-MNIST'}
_SETS = {'query': 'query set', 'support': 'support set'}
_ANSWERS = {'True': 'yes', 'False': 'no'}
_SUBJECT = ('dataset', 'target')
_SIZE = ('ways', 'shots')
_SELF_EXPLANATORY = ('dataset', 'target', 'attack', 'defence', 'network')  # values need no name


def heading(field: str) -> str:
  """The name of a field of a cell, or of a column of a CSV file.

  >>> heading('paper_seconds'), heading('reconstruction.tv_weight')
  ('printed seconds', 'TV weight (reconstruction)')
  """
  section, _, name = field.rpartition('.')
  if section:
    return f'{heading(name)} ({section.replace("_", " ")})'
  plain = field.replace('_', ' ').strip()
  return _HEADINGS.get(field, plain.replace('paper ', 'printed '))


def value(field: str, content: Any) -> str:
  """A value of a field of a cell, in words.

  >>> value('dataset', 'fashion_mnist_sample'), value('defence', 'query_noise')
  ('Fashion-MNIST (sample)', 'query noise')
  """
  if field == 'dataset':
    return _dataset(content)
  if field == 'target':
    return _SETS.get(content) or content
  if str(content) in _ANSWERS:
    return _ANSWERS[str(content)]
  return f'{content:g}' if isinstance(content, float) else str(content).replace('_', ' ')


def label(configuration: Mapping[str, Any], fields: Iterable[str]) -> str:
  """The label of a cell among others that differ in these fields.

  >>> cell = {'ways': 3, 'shots': 1, 'dataset': 'mnist', 'epoch': 5}
  >>> label(cell, ['dataset', 'ways', 'shots', 'epoch'])
  'MNIST, 3-way 1-shot, epoch 5'
  """
  hidden = {'noise_scale'} if configuration.get('defence') == 'none' else set()
  present = {name for name, value in configuration.items() if value is not None} - hidden
  fields = [name for name in fields if name in present]
  size = ' '.join(f'{configuration[name]}-{name[:-1]}' for name in _SIZE if name in fields)
  parts = [_named(name, configuration[name]) for name in fields if name not in _SIZE]
  count = sum(name in _SUBJECT for name in fields)  # of the parts before the size
  return ', '.join(filter(None, [*parts[:count], size, *parts[count:]]))


def rate(number: float | None) -> str:
  """A rate, to three decimals."""
  return NOTHING if number is None else f'{number:.3f}'


def interval(low: float | None, high: float | None) -> str:
  """A confidence interval, to two decimals."""
  return NOTHING if low is None or high is None else f'[{low:.2f},{_NO_BREAK}{high:.2f}]'


def difference(number: float) -> str:
  """A signed difference of rates.

  >>> difference(0.021), difference(-0.001)
  ('+0.02', '0.00')
  """
  return minus(f'{number:+.2f}') if abs(number) >= 0.005 else '0.00'


def aligned(numbers: Sequence[float]) -> list[str]:
  """A column of numbers, to three digits of the smallest if their sizes are similar.

  >>> aligned([3.5, 34.79, 0.628]), aligned([5, 20_000]), aligned([1.2e-17, 0.5])
  (['3.500', '34.790', '0.628'], ['5', '20,000'], ['1.2e-17', '0.5'])
  """
  sizes = [abs(number) for number in numbers if number] or [1]
  if min(sizes) < 1e-4 or max(sizes) / min(sizes) > 1e6:
    return [minus(f'{number:.3g}') for number in numbers]
  useful = max(0, 2 - math.floor(math.log10(min(sizes))))
  given = max(len(repr(float(number)).partition('.')[2]) for number in numbers)
  whole = all(float(number).is_integer() for number in numbers)
  return [minus(f'{number:,.{0 if whole else min(useful, given)}f}') for number in numbers]


def minus(text: str) -> str:
  """The text with minus signs instead of hyphens before numbers."""
  return re.sub(r'(^|(?<=[ \[]))-(?=\d)', MINUS, text)


def duration(seconds: float) -> str:
  """A duration in words, to two digits or whole seconds or minutes.

  >>> duration(0.0547), duration(95), duration(4020)
  ('0.055 s', '1 min 35 s', '1 h 07 min')
  """
  if seconds < 60:
    return f'{seconds:#.2g} s' if seconds < 9.95 else f'{seconds:.0f} s'
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f'{minutes} min {rest:02d} s'
  return f'{minutes // 60} h {minutes % 60:02d} min'


def several(values: Iterable[Any]) -> str:
  """The distinct values, in order of first occurrence.

  >>> several([200, 200, 100])
  '200, 100'
  """
  return ', '.join(map(str, dict.fromkeys(values)))


def sentence(text: str) -> str:
  """The text with a capital first letter."""
  return text[:1].upper() + text[1:]


def anchor(name: str) -> str:
  """A name with characters replaced that are unsafe in links or file names."""
  safe = set(string.ascii_letters + string.digits + '._-')
  return ''.join(letter if letter in safe or letter.isalnum() else '-' for letter in name)


def _dataset(name: str) -> str:
  """The name of a data set; of a file, without the folder that it is in."""
  base = name.removesuffix('_sample')
  if base in _DATASETS:
    return _DATASETS[base] + (' (sample)' if base != name else '')
  return Path(name).name if name.startswith('npz:') else name  # a report hides private paths


def _named(field: str, content: Any) -> str:
  """A value with the name of its field, unless it explains itself."""
  if (field, content) == ('defence', 'none'):
    return 'no defence'
  text = value(field, content)
  return text if field in _SELF_EXPLANATORY else f'{heading(field)} {text}'
