"""Attacks: one a file, each with `Options`, `Info`, `REQUIRES`, `prepare` and `score`."""

from types import ModuleType

from mamljax.attacks import reconstruction
from mamljax.attacks.observation import Candidate, Knowledge, Observation

ATTACKS: dict[str, ModuleType] = {'reconstruction': reconstruction}

__all__ = ['ATTACKS', 'Candidate', 'Knowledge', 'Observation', 'reconstruction']
