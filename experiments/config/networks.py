"""The options of each network, beyond those that all networks take."""

import dataclasses
from typing import Any

from experiments.config.fields import Field, options_of
from mamljax import checks, networks
from mamljax.errors import unknown
from mamljax.networks import NETWORKS, Network

_COMMON = networks.options_of(Network)


def _options(name: str, network: type[Network]) -> type:
  """A frozen dataclass of a network's own options, named like the network."""
  own = [f for f in networks.options_of(network).values() if f.name not in _COMMON]
  fields = [(f.name, f.type, _as_declared(f)) for f in own]
  return dataclasses.make_dataclass(
    name, fields, bases=(checks.Checked,), frozen=True, kw_only=True
  )


def _as_declared(field: dataclasses.Field) -> Any:
  return dataclasses.field(default=field.default, metadata=field.metadata)


OPTIONS: dict[str, type] = {name: _options(name, kind) for name, kind in NETWORKS.items()}


def network_name(options: Any) -> str:
  """The name of the network that these options are of."""
  return type(options).__name__


def options_of_network(name: str) -> tuple[Field, ...]:
  """The options of a network, each named NETWORK.OPTION."""
  return options_of(name, OPTIONS[name], documented=NETWORKS[name])


def make_options(name: str, options: dict[str, Any]) -> Any:
  """The options of a network, with defaults for the rest.

  Raises:
    InputError: if the network is unknown, or an option cannot be.
  """
  if name not in OPTIONS:
    raise unknown('network', name, OPTIONS)
  return OPTIONS[name](**options)
