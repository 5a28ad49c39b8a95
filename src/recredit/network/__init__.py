"""The network that learns."""

from recredit.network.leaky import LeakyRNN as LeakyRNN
from recredit.network.leaky import Network as Network
