"""OUT/networks.csv: cells that differ in their seed alone: several networks of a kind together.

One draw of a network is one draw: another has other dead units and other spans. So the interval
is of a bootstrap in two levels: of the networks, and of the trials of each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis.text import csv_text
from experiments.config.columns import STAMPS, varying
from experiments.store.cells import Summary
from mamljax import atomic

NAME = 'networks.csv'
DRAWS = 10_000
_KIND = ('dataset', 'network', 'ways', 'shots', 'target', 'attack', 'epoch', 'trials')


def write(output_dir: Path, results: Sequence[Summary]) -> Path | None:
  """Writes OUT/networks.csv; None, and no file, if no two cells differ in their seed alone."""
  lines = pooled(results)
  if not lines:
    return None
  path = output_dir / NAME
  atomic.write_text(path, csv_text(lines[0], lines))
  return path


def pooled(results: Sequence[Summary]) -> list[dict[str, Any]]:
  """A line for each kind of cell of which there are two networks or more.

  Returns:
    What tells the kinds apart; the number of networks; the accuracy of all trials together with
    an interval at 95 %; the accuracy of the lowest and of the highest network, with their own
    Clopper-Pearson intervals; and the mean AUC.
  """
  configurations = [result.columns for result in results]
  names = [*_KIND, *(name for name in varying(configurations) if name not in _KIND)]
  kinds: dict[tuple[Any, ...], list[Summary]] = {}
  for result in results:
    own = tuple(v for k, v in result.columns.items() if k not in ('seed', *STAMPS))
    kinds.setdefault(own, []).append(result)
  told = [name for name in names if name not in ('seed', *STAMPS)]
  return [
    {name: same[0].columns.get(name) for name in told} | _rates(same)
    for same in kinds.values()
    if len(same) > 1
  ]


def _rates(same: Sequence[Summary]) -> dict[str, Any]:
  """The rates of cells that differ in their seed alone."""
  rates = sorted(one.metrics.accuracy for one in same if one.metrics.accuracy)
  value, low, high = accuracy([rate.value for rate in rates], same[0].columns['trials'])
  aucs = [one.metrics.auc.value for one in same if one.metrics.auc]
  found = {'networks': len(same), 'accuracy': value, 'accuracy_low': low, 'accuracy_high': high}
  for name, rate in (('lowest', rates[0]), ('highest', rates[-1])):
    found |= {name: rate.value, f'{name}_low': rate.low, f'{name}_high': rate.high}
  return found | {'auc_mean': float(np.mean(aucs)) if aucs else None}


def accuracy(rates: Sequence[float], trials: int, *, seed: int = 0) -> tuple[float, ...]:
  """The accuracy over networks, and the ends of its interval at 95 %.

  Args:
    rates: the share of right decisions of each network.
    trials: the trials of each network.
    seed: seed of the bootstrap.
  """
  random, shares = np.random.default_rng(seed), np.asarray(rates)
  networks = random.choice(shares, size=(DRAWS, len(shares)))
  again = random.binomial(trials, networks).mean(axis=1) / trials
  return float(shares.mean()), *map(float, np.quantile(again, [0.025, 0.975]))
