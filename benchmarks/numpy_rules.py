"""The learning rules in plain NumPy, one seed and one step at a time: the baseline of the speed measurements.

Written as a careful user would: vectorised over units and synapses, states updated in place, no copy that is not needed, every
product a BLAS call, all in the weights' dtype. Each rule has the default settings of its counterpart in `recredit.rules`, whose
docstring holds the equations; the same draws give the same weights.
"""

import math
from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

Step = namedtuple("Step", "r_prev r_hat phi r error target")
"""What the network did at time t: r^{t-1}, [r^{t-1}; x^t; 1], phi(v^t), r^t, dL/dz and the label."""


@dataclass
class Network:
    """A leaky tanh network; `head`: "softmax" or "linear"."""

    W: ndarray
    W_out: ndarray
    b_out: ndarray
    alpha: float
    head: str

    def __post_init__(self):
        self.W_rec = self.W[:, : len(self.W)]  # a view: W changes in place only

    def forward(self, r_prev: ndarray, x1: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """One step of the dynamics on x1 = [x; 1]: (r_hat, phi(v), r)."""
        r_hat = np.concatenate((r_prev, x1))
        phi = np.tanh(self.W @ r_hat)
        return r_hat, phi, (1 - self.alpha) * r_prev + self.alpha * phi

    def step(self, r_prev: ndarray, x1: ndarray, target: ndarray) -> tuple[float, Step]:
        """The loss of one step, and all that the rules see of it."""
        r_hat, phi, r = self.forward(r_prev, x1)
        z = self.W_out @ r + self.b_out
        if self.head == "softmax":
            z -= z.max()
            p = np.exp(z)
            total = p.sum()
            loss, error = -(target @ (z - np.log(total))), p / total - target
        else:
            error = z - target
            loss = 0.5 * (error @ error)
        return loss, Step(r_prev, r_hat, phi, r, error, target)

    def gain(self, phi: ndarray) -> ndarray:
        """alpha D, of phi(v)."""
        return self.alpha * (1 - phi * phi)

    def jacobian(self, gain: ndarray) -> ndarray:
        """J = (1 - alpha) I + alpha diag(D) W_rec."""
        J = gain[:, None] * self.W_rec
        J.flat[:: len(J) + 1] += 1 - self.alpha
        return J


def create(n: int, n_in: int, n_out: int, rng: Generator, head: str, dtype=np.float32, alpha: float = 0.5) -> Network:
    """Draw a network as `LeakyRNN.create` does."""
    W_rec = np.linalg.qr(rng.standard_normal((n, n)))[0]
    W = np.concatenate((W_rec, rng.standard_normal((n, n_in)) / math.sqrt(n_in), np.zeros((n, 1))), axis=1)
    W_out = rng.standard_normal((n_out, n)) / math.sqrt(n)
    return Network(W.astype(dtype), W_out.astype(dtype), np.zeros(n_out, dtype), alpha, head)


def norm(A: ndarray) -> float:
    """The Frobenius norm."""
    return math.sqrt(np.vdot(A, A))


def balance(scaled_down: float, scaled_up: float) -> float:
    """rho, of two norms."""
    return math.sqrt((scaled_down + 1e-30) / (scaled_up + 1e-30))


class FixedW:
    """Only the read-out learns."""

    def __init__(self, net: Network, rng: Generator):
        pass

    def update(self, net: Network, step: Step) -> None:
        return None


class Window:
    """Ring buffers of the last steps' credit (T, n), gain (T, n) and r_hat (T, m); negative indices wrap around."""

    def __init__(self, net: Network, rng: Generator, window: int = 10):
        (n, m), dtype, self.window = net.W.shape, net.W.dtype, window
        self.c, self.gain = np.zeros((2, window, n), dtype)
        self.r_hat = np.zeros((window, m), dtype)
        self.t = -1

    def keep(self, net: Network, step: Step) -> int:
        """Write one step's gain and r_hat; returns its row."""
        self.t += 1
        now = self.t % self.window
        self.gain[now], self.r_hat[now] = net.gain(step.phi), step.r_hat
        return now


class EBPTT(Window):
    """Backpropagation over windows that do not overlap."""

    def update(self, net: Network, step: Step) -> ndarray | None:
        now, c, credit, W_rec = self.keep(net, step), self.c, self.gain, net.W_rec
        c[now] = step.error @ net.W_out
        if now < self.window - 1:
            return None
        credit[now] *= c[now]
        for s in range(now - 1, -1, -1):
            c[s] += (1 - net.alpha) * c[s + 1] + credit[s + 1] @ W_rec
            credit[s] *= c[s]
        return credit.T @ self.r_hat


class FBPTT(Window):
    """Future-facing backpropagation over a sliding window."""

    def update(self, net: Network, step: Step) -> ndarray | None:
        now, c, gain, W_rec = self.keep(net, step), self.c, self.gain, net.W_rec
        c[now] = q = step.error @ net.W_out
        for s in range(now - 1, now - self.window, -1):
            q = (1 - net.alpha) * q + (q * gain[s + 1]) @ W_rec
            c[s] += q
        return (c[s] * gain[s])[:, None] * self.r_hat[s] if self.t >= self.window - 1 else None  # s: the oldest step


class PBPTT(Window):
    """Past-facing backpropagation over a sliding window."""

    def update(self, net: Network, step: Step) -> ndarray:
        now, credit, gain, W_rec = self.keep(net, step), self.c, self.gain, net.W_rec
        q = step.error @ net.W_out
        credit[now] = q * gain[now]
        for s in range(now - 1, now - self.window, -1):
            q = (1 - net.alpha) * q + credit[s + 1] @ W_rec
            credit[s] = q * gain[s]
        return credit.T @ self.r_hat


class RTRL:
    """The whole influence, in one of two buffers in turn."""

    def __init__(self, net: Network, rng: Generator):
        n, m = net.W.shape
        self.M, self.spare = np.zeros((2, n, n * m), net.W.dtype)

    def update(self, net: Network, step: Step) -> ndarray:
        (n, m), gain = net.W.shape, net.gain(step.phi)
        M = np.matmul(net.jacobian(gain), self.M, out=self.spare)
        M.reshape(n * n, m)[:: n + 1] += gain[:, None] * step.r_hat  # M_iij
        self.M, self.spare = M, self.M
        return (step.error @ net.W_out @ M).reshape(n, m)


class UORO:
    """A rank-one estimate of the influence."""

    def __init__(self, net: Network, rng: Generator):
        (n, m), dtype, self.rng = net.W.shape, net.W.dtype, rng
        self.A, self.B = rng.standard_normal(n, dtype), rng.standard_normal((n, m), dtype)
        self.signs = np.array((-1, 1), dtype)

    def update(self, net: Network, step: Step) -> ndarray:
        gain, nu = net.gain(step.phi), self.signs[self.rng.integers(2, size=len(self.A))]
        F = (1 - net.alpha) * self.A + gain * (net.W_rec @ self.A)
        rho_0, rho_1 = balance(norm(self.B), norm(F)), balance(norm(gain) * norm(step.r_hat), norm(nu))
        self.A = rho_0 * F + rho_1 * nu
        self.B *= 1 / rho_0
        self.B += (nu * gain / rho_1)[:, None] * step.r_hat
        return (step.error @ net.W_out @ self.A) * self.B


class KFRTRL:
    """A Kronecker-factored estimate of the influence."""

    def __init__(self, net: Network, rng: Generator):
        (n, m), dtype, self.rng = net.W.shape, net.W.dtype, rng
        self.A, self.B = rng.standard_normal(m, dtype), rng.standard_normal((n, n), dtype)

    def update(self, net: Network, step: Step) -> ndarray:
        gain, (nu_0, nu_1) = net.gain(step.phi), (2 * self.rng.integers(2, size=2) - 1).tolist()
        F = net.jacobian(gain) @ self.B
        rho_0, rho_1 = balance(norm(F), norm(self.A)), balance(norm(gain), norm(step.r_hat))
        self.A = (nu_0 * rho_0) * self.A + (nu_1 * rho_1) * step.r_hat
        F *= nu_0 / rho_0
        F.flat[:: len(F) + 1] += (nu_1 / rho_1) * gain
        self.B = F
        return (step.error @ net.W_out @ F)[:, None] * self.A


class RKF(UORO):
    """A reversed Kronecker-factored estimate of the influence; it starts as UORO does."""

    def update(self, net: Network, step: Step) -> ndarray:
        gain, nu = net.gain(step.phi), self.signs[self.rng.integers(2, size=len(self.A))]
        F = net.jacobian(gain) @ self.B
        rho_0, rho_1 = balance(norm(F), norm(self.A)), balance(norm(gain) * norm(step.r_hat), norm(nu))
        self.A = rho_0 * self.A + rho_1 * nu
        F *= 1 / rho_0
        F += (nu * gain / rho_1)[:, None] * step.r_hat
        self.B = F
        return self.A[:, None] * (step.error @ net.W_out @ F)


class KeRNL:
    """Eligibility traces with learned time scales, and a sensitivity matrix learned from a perturbed copy."""

    def __init__(self, net: Network, rng: Generator, rate: float = 5e-6, sigma: float = 1e-3, inverse_timescale: float = 0.8):
        n, dtype, self.rng, self.sigma, self.eta = len(net.W), net.W.dtype, rng, sigma, rate / sigma**2
        self.A, self.B, self.a = np.eye(n, dtype=dtype), np.zeros_like(net.W), np.full(n, inverse_timescale, dtype)
        self.Omega, self.Gamma = np.zeros((2, n), dtype)
        self.r_tilde = None

    def update(self, net: Network, step: Step) -> ndarray:
        n, kappa, eta = len(self.a), np.maximum(0, 1 - self.a), self.eta
        zeta = self.sigma * self.rng.standard_normal(n, self.a.dtype)
        r_tilde = step.r_prev if self.r_tilde is None else self.r_tilde  # the copy starts where the run starts
        self.r_tilde = net.forward(r_tilde, step.r_hat[n:])[2] + zeta
        self.Gamma, self.Omega = kappa * self.Gamma - self.Omega, kappa * self.Omega + zeta
        self.B *= kappa[:, None]
        self.B += net.gain(step.phi)[:, None] * step.r_hat
        e = self.A @ self.Omega - (self.r_tilde - step.r)
        self.a -= eta * (e @ self.A) * self.Gamma
        self.A -= (eta * e)[:, None] * self.Omega
        return (step.error @ net.W_out @ self.A)[:, None] * self.B


class RFLO:
    """An eligibility trace per synapse."""

    def __init__(self, net: Network, rng: Generator):
        self.B = np.zeros_like(net.W)

    def update(self, net: Network, step: Step) -> ndarray:
        self.B *= 1 - net.alpha
        self.B += net.gain(step.phi)[:, None] * step.r_hat
        return (step.error @ net.W_out)[:, None] * self.B


class DNI:
    """A linear prediction of future credit, learned by bootstrapping; refreshed at every step, so A has no frozen copy.

    `circuit`: DNI(b), with a learned Jacobian JJ and squashed credit.
    """

    def __init__(self, net: Network, rng: Generator, circuit: bool = False, rate: float = 1e-3):
        (n_out, n), dtype, self.rate = net.W_out.shape, net.W.dtype, rate
        self.A = rng.standard_normal((n, n + n_out + 1), dtype) / math.sqrt(n + n_out + 1)
        self.c_bar, self.one, self.r_tilde = np.zeros(n, dtype), np.ones(1, dtype), None
        self.JJ = net.W_rec.copy() if circuit else None

    def update(self, net: Network, step: Step) -> ndarray:
        if self.r_tilde is None:  # before the first label: that label
            self.r_tilde = np.concatenate((step.r_prev, step.target, self.one))
        gain, r_tilde = net.gain(step.phi), np.concatenate((step.r, step.target, self.one))
        u = self.A @ r_tilde
        if self.JJ is None:
            label = self.c_bar + (1 - net.alpha) * u + (u * gain) @ net.W_rec
        else:
            self.JJ += (self.rate * (step.r - self.JJ @ step.r_prev))[:, None] * step.r_prev
            label = self.c_bar + np.tanh(u) @ self.JJ
        self.A -= (self.rate * (self.A @ self.r_tilde - label))[:, None] * self.r_tilde
        self.c_bar, self.r_tilde = step.error @ net.W_out, r_tilde
        return (self.A @ r_tilde * gain)[:, None] * step.r_hat


RULES = {
    "fixed_w": FixedW, "e_bptt": EBPTT, "f_bptt": FBPTT, "p_bptt": PBPTT, "rtrl": RTRL, "uoro": UORO, "kf_rtrl": KFRTRL,
    "r_kf": RKF, "kernl": KeRNL, "rflo": RFLO, "dni": DNI, "dni_b": partial(DNI, circuit=True),
}  # fmt: skip
"""Each has `update(net, step) -> G`, the estimate of dL/dW (n, m); None where that is zero and W stays as it is."""


def train(rule: Any, net: Network, r: ndarray, inputs: ndarray, targets: ndarray, rate: float) -> ndarray:
    """Train `net` and `rule` in place by SGD from the rates `r` on, one step a row of `inputs` (steps, n_in): the losses."""
    dtype, losses = net.W.dtype, np.empty(len(inputs))
    r, targets = r.astype(dtype), targets.astype(dtype)
    with_one = np.concatenate((inputs, np.ones((len(inputs), 1))), axis=1, dtype=dtype)
    for t, (x1, target) in enumerate(zip(with_one, targets, strict=True)):
        losses[t], step = net.step(r, x1, target)
        G, r, error = rule.update(net, step), step.r, step.error
        if G is not None:
            net.W -= rate * G
        net.W_out -= (rate * error)[:, None] * r
        net.b_out -= rate * error
    return losses
