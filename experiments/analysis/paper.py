"""The numbers printed in "Privacy Challenges in Meta-Learning", Tables I to IV.

The paper names no network, training epoch or attack hyper-parameter for them. Each value of
Tables I and II rests on 50 members and 50 non-members, attacked by reconstruction, without a
defence. Tables III and IV were measured on a personal computer with a dual-core processor and
8 GB of memory.
"""

from typing import NamedTuple


class Printed(NamedTuple):
  """One cell of Table I or II."""

  accuracy: float
  recall: float
  precision: float


def printed(target: str, dataset: str, ways: int, shots: int) -> Printed | None:
  """The rates that the paper prints for an attack; None where it prints none.

  A sample of a data set has the printed values of the whole data set.

  Args:
    target: the attacked set, 'support' (Table I) or 'query' (Table II).
    dataset: name of the data set.
    ways: number of classes of a task.
    shots: number of images of a class.

  >>> printed('query', 'mnist_sample', ways=3, shots=1)
  Printed(accuracy=0.92, recall=0.98, precision=0.88)
  """
  rows = _TABLES.get((target, dataset.removesuffix('_sample')), {})
  return rows.get((ways, shots))


def printed_seconds(target: str, data_size: int, iterations: int) -> float | None:
  """The run time that Table III or IV prints for an attack.

  Args:
    target: the attacked set, 'support' (Table III) or 'query' (Table IV).
    data_size: number of images in that set, ways x shots.
    iterations: number of steps of the reconstruction.

  Returns:
    The seconds; None where the paper prints none.

  >>> printed_seconds('support', 20, iterations=200)
  34.79
  """
  return _SECONDS.get((target, iterations), {}).get(data_size)


def _seconds(*row: float) -> dict[int, float]:
  """A row of Table III or IV, by data size."""
  return dict(zip((3, 5, 10, 15, 20), row, strict=True))


def _table(*rows: tuple[float, float, float]) -> dict[tuple[int, int], Printed]:
  """The nine rows of a printed table, by ways and shots."""
  sizes = [(ways, shots) for ways in (3, 5, 7) for shots in (1, 2, 3)]
  return {size: Printed(*row) for size, row in zip(sizes, rows, strict=True)}


_TABLES = {
  ('support', 'mnist'): _table(
    (0.79, 0.72, 0.84),
    (0.68, 0.74, 0.66),
    (0.61, 0.54, 0.63),
    (0.91, 0.98, 0.86),
    (0.69, 0.96, 0.62),
    (0.61, 0.86, 0.57),
    (0.71, 0.96, 0.64),
    (0.56, 0.66, 0.55),
    (0.51, 0.66, 0.51),
  ),
  ('support', 'fashion_mnist'): _table(
    (0.79, 0.62, 0.94),
    (0.70, 0.52, 0.81),
    (0.59, 0.26, 0.76),
    (0.70, 0.48, 0.86),
    (0.61, 0.26, 0.87),
    (0.58, 0.16, 1.00),
    (0.73, 0.50, 0.93),
    (0.59, 0.20, 0.91),
    (0.58, 0.24, 0.75),
  ),
  ('query', 'mnist'): _table(
    (0.92, 0.98, 0.88),
    (0.71, 0.52, 0.84),
    (0.59, 0.24, 0.80),
    (0.95, 0.98, 0.92),
    (0.69, 0.46, 0.85),
    (0.69, 0.38, 1.00),
    (0.93, 1.00, 0.88),
    (0.74, 0.52, 0.93),
    (0.67, 0.36, 0.95),
  ),
  ('query', 'fashion_mnist'): _table(
    (0.78, 0.96, 0.71),
    (0.73, 0.66, 0.77),
    (0.62, 0.36, 0.75),
    (0.87, 1.00, 0.79),
    (0.70, 0.54, 0.79),
    (0.69, 0.44, 0.87),
    (0.82, 0.96, 0.75),
    (0.67, 0.44, 0.81),
    (0.70, 0.46, 0.88),
  ),
}

_SECONDS = {
  ('support', 50): _seconds(3.54, 4.05, 6.28, 7.16, 8.84),
  ('support', 100): _seconds(7.26, 8.02, 11.29, 14.57, 17.45),
  ('support', 200): _seconds(14.09, 15.93, 21.71, 29.71, 34.79),
  ('query', 50): _seconds(1.34, 1.64, 1.94, 2.4, 3.42),
  ('query', 100): _seconds(2.56, 3.08, 3.86, 4.87, 5.79),
  ('query', 200): _seconds(5.12, 6.04, 7.63, 9.22, 14.11),
}
