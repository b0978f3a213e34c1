"""Sizes of what is measured: in full for an accelerator, in small for the CPU of a test."""

import dataclasses
from typing import Any

# Networks and images of a look in small, as fields of a cell.
_TINY = {'image_size': 14, 'conv4.filters': 4, 'references': 60}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
  """Sizes of the measurements.

  Attributes:
    seconds: time of the whole.
    least: seconds that any measurement may take, compilation included.
    product: side of the matrices whose product is the peak of the device.
    copied: float32 numbers of the array whose copy is the peak of its memory.
    cell: fields of every cell.
    tasks: ways and shots of the attacked sets.
    targets: the sets that reconstructions seek.
    chunks: numbers of candidates computed together, the first for the comparison of forms.
    steps: iterations of a reconstruction that is timed.
    scored: candidates of a reconstruction in full, for the error of a precision.
    precisions: precisions of matrix products, 'highest' first.
    labels: cases of `tests.golden` whose scores are compared; () for every attack and set.
    options: options of attacks, those that have them.
    closed_form: attacks in closed form, cheapest first.
    decisions: candidates of a closed-form attack computed together.
    rounds: rounds of meta-training in a run.
    inner_steps: inner steps of the learners there.
    unrolled: convolutions of one program, each with weights of its own.
    torch_styles: ways of PyTorch, of `peers.STYLES`.
    torch_candidates: candidates that PyTorch computes together.
    filtered: trials of the matched filter that are aimed at.
    reconstructed: candidates of the paper's query attack that are aimed at.
    datasets: packaged images of the tables.
    table_ways: ways of the tables.
    table_trials: trials of each of their cells, for calibration and for the report.
    iterations: iterations of the paper's query attack.
  """

  seconds: float = 330.0
  least: float = 25.0
  product: int = 8192
  copied: int = 2**28
  cell: dict[str, Any] = dataclasses.field(default_factory=dict)
  tasks: tuple[tuple[int, int], ...] = ((5, 1), (5, 4))
  targets: tuple[str, ...] = ('query', 'support')
  chunks: tuple[int, ...] = (256, 16, 1024, 4096, 64)
  steps: int = 10
  scored: int = 400
  precisions: tuple[str, ...] = ('highest', 'high', 'default')
  labels: tuple[str, ...] = ()
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  closed_form: tuple[str, ...] = (
    *('gradient_cosine', 'loss', 'gradient_cosine_z', 'row_space', 'silent_units'),
    *('matched_filter', 'noise_filter', 'patch_space'),
    *('shadow_matched_filter', 'curvature_filter', 'residual_filter'),
  )
  decisions: int = 64
  rounds: int = 10
  inner_steps: tuple[int, ...] = (1, 5)
  unrolled: int = 64
  torch_styles: tuple[str, ...] = ('sequential', 'vmapped', 'compiled')
  torch_candidates: int = 64
  filtered: int = 10**6
  reconstructed: int = 10**4
  datasets: tuple[str, ...] = ('mnist_sample', 'fashion_mnist_sample')
  table_ways: tuple[int, ...] = (3, 5, 7)
  table_trials: int = 200
  iterations: int = 100


FULL = Sizes()
QUICK = Sizes(
  seconds=600.0,
  least=200.0,
  product=256,
  copied=2**20,
  cell=_TINY,
  tasks=((2, 1),),
  targets=('query',),
  chunks=(4, 2),
  steps=2,
  scored=8,
  precisions=('highest',),
  labels=('row_space query', 'reconstruction query'),
  options={'shadows': 4, 'swaps': 2, 'sketch': 16, 'directions': 8},
  closed_form=('loss', 'shadow_matched_filter'),
  decisions=4,
  rounds=1,
  inner_steps=(1,),
  unrolled=2,
  torch_styles=('vmapped',),
  torch_candidates=2,
  filtered=32,
  reconstructed=16,
  datasets=('mnist_sample',),
  table_ways=(2,),
  table_trials=8,
  iterations=2,
)
