"""The network that learns: independent units, and the synapses that connect them."""

from recredit.network.alif import ALIF
from recredit.network.gru import GRU
from recredit.network.leaky import Leaky
from recredit.network.leaky_rnn import LeakyRNN as LeakyRNN
from recredit.network.learned_leak import LearnedLeak
from recredit.network.lru import LRU
from recredit.network.lstm import LSTM
from recredit.network.rnn import RNN as RNN
from recredit.network.rnn import Head as Head
from recredit.network.settings import Network as Network
from recredit.network.units import AbstractUnits as AbstractUnits
from recredit.network.voltage import Voltage

UNITS: dict[str, type[AbstractUnits]] = {
    "leaky": Leaky,
    "learned_leak": LearnedLeak,
    "voltage": Voltage,
    "gru": GRU,
    "lstm": LSTM,
    "alif": ALIF,
    "lru": LRU,
}
