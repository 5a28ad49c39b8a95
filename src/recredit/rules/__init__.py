"""The learning rules, by the names that the command line and the figures use."""

from collections.abc import Callable

from recredit.rule import AbstractRule
from recredit.rules.cascade import Cascade
from recredit.rules.dni import DNI
from recredit.rules.dni_b import DNIb
from recredit.rules.dni_lambda import DNILambda
from recredit.rules.e_bptt import EBPTT
from recredit.rules.e_prop import EProp
from recredit.rules.f_bptt import FBPTT
from recredit.rules.fixed_w import FixedW
from recredit.rules.hops import Hops
from recredit.rules.immediate import Immediate
from recredit.rules.kernl import KeRNL
from recredit.rules.kf_rtrl import KFRTRL
from recredit.rules.mdgl import MDGL
from recredit.rules.miconi import Miconi
from recredit.rules.modprop import ModProp
from recredit.rules.node_perturbation import NodePerturbation
from recredit.rules.ok_rtrl import OKRTRL
from recredit.rules.p_bptt import PBPTT
from recredit.rules.pp_prop import PPProp
from recredit.rules.r_kf import RKF
from recredit.rules.random_walk import RandomWalk
from recredit.rules.rflo import RFLO
from recredit.rules.rtrl import RTRL
from recredit.rules.rtrl_block import RTRLBlock
from recredit.rules.snap import SnAp
from recredit.rules.snap1 import SnAp1
from recredit.rules.three_factor import ThreeFactor
from recredit.rules.uoro import UORO
from recredit.rules.weight_perturbation import WeightPerturbation

RULES: dict[str, Callable[..., AbstractRule]] = {
    "fixed_w": FixedW,
    "e_bptt": EBPTT,
    "f_bptt": FBPTT,
    "p_bptt": PBPTT,
    "rtrl": RTRL,
    "rtrl_block": RTRLBlock,
    "uoro": UORO,
    "kf_rtrl": KFRTRL,
    "r_kf": RKF,
    "ok_rtrl": OKRTRL,
    "kernl": KeRNL,
    "rflo": RFLO,
    "e_prop": EProp,
    "immediate": Immediate,
    "snap1": SnAp1,
    "snap": SnAp,
    "hops": Hops,
    "mdgl": MDGL,
    "modprop": ModProp,
    "cascade": Cascade,
    "pp_prop": PPProp,
    "node_perturbation": NodePerturbation,
    "weight_perturbation": WeightPerturbation,
    "three_factor": ThreeFactor,
    "miconi": Miconi,
    "random_walk": RandomWalk,
    "dni": DNI,
    "dni_b": DNIb,
    "dni_lambda": DNILambda,
}
