from ._graph import describe
from ._network import Group, Network, NetworkBuilder
