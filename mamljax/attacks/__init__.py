"""Attacks: one a file, each with the same public names in the same order.

Options: its hyper-parameters, the targeted set among them. Info: what it saw on its way.
REQUIRES: for each set that it can target, what it must know beyond the gradient.
`prepare(key, knowledge)`, once for all trials at one w. `score(key, prepared, observation,
candidate, options=...)`, a scalar that is higher for a member, and an Info.
"""

from types import ModuleType

from mamljax.attacks import reconstruction
from mamljax.attacks.observation import Candidate, Knowledge, Observation

ATTACKS: dict[str, ModuleType] = {'reconstruction': reconstruction}

__all__ = ['ATTACKS', 'Candidate', 'Knowledge', 'Observation', 'reconstruction']
