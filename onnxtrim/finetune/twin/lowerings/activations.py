"""Activations.

HardSigmoid      clip(alpha x + beta, 0, 1)
HardSwish        x clip(x / 6 + 1 / 2, 0, 1)
PRelu            relu(x) - slope relu(-x)
Elu              relu(x) + alpha (exp(min(x, 0)) - 1)
Selu             gamma Elu(x)
Celu             relu(x) + alpha (exp(min(x, 0) / alpha) - 1)
Softplus         log(exp(min(x, b)) + 1) + relu(x - b)      b = 20: no overflow, and off by 2e-9
Softsign         x / (1 + |x|)
Mish             x tanh(Softplus(x))
Swish            x sigmoid(alpha x)
ThresholdedRelu  x where x > alpha, else 0
"""

import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import float_attr

__all__ = [
    "celu",
    "elu",
    "hard_sigmoid",
    "hard_swish",
    "mish",
    "prelu",
    "selu",
    "softplus",
    "softsign",
    "swish",
    "thresholded_relu",
]

_LINEAR_FROM = 20.0
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def hard_sigmoid(site: Site) -> ir.Value:
    """Returns clip(alpha x + beta, 0, 1)."""
    alpha, beta = float_attr(site.node, "alpha", 0.2), float_attr(site.node, "beta", 0.5)
    return _hard_sigmoid(site, alpha, beta)


def hard_swish(site: Site) -> ir.Value:
    """Returns x clip(x / 6 + 1 / 2, 0, 1)."""
    return site.add("Mul", site.x, _hard_sigmoid(site, 1 / 6, 0.5))


def prelu(site: Site) -> ir.Value:
    """Returns relu(x) - slope relu(-x)."""
    below = site.add("Relu", site.add("Neg", site.x))
    return site.add("Sub", site.add("Relu", site.x), site.add("Mul", site.operand(1), below))


def elu(site: Site) -> ir.Value:
    """Returns relu(x) + alpha (exp(min(x, 0)) - 1)."""
    return _elu(site, float_attr(site.node, "alpha", 1.0), 1.0)


def selu(site: Site) -> ir.Value:
    """Returns gamma (relu(x) + alpha (exp(min(x, 0)) - 1))."""
    alpha = float_attr(site.node, "alpha", _SELU_ALPHA)
    gamma = float_attr(site.node, "gamma", _SELU_GAMMA)
    return site.add("Mul", _elu(site, alpha, 1.0), site.number(gamma))


def celu(site: Site) -> ir.Value:
    """Returns relu(x) + alpha (exp(min(x, 0) / alpha) - 1)."""
    alpha = float_attr(site.node, "alpha", 1.0)
    return _elu(site, alpha, 1 / alpha)


def softplus(site: Site) -> ir.Value:
    """Returns log(exp(x) + 1)."""
    low = site.add("Clip", site.x, None, site.number(_LINEAR_FROM))
    curved = site.add("Log", site.add("Add", site.add("Exp", low), site.number(1.0)))
    above = site.add("Relu", site.add("Sub", site.x, site.number(_LINEAR_FROM)))
    return site.add("Add", curved, above)


def softsign(site: Site) -> ir.Value:
    """Returns x / (1 + |x|)."""
    return site.add("Div", site.x, site.add("Add", site.add("Abs", site.x), site.number(1.0)))


def mish(site: Site) -> ir.Value:
    """Returns x tanh(log(exp(x) + 1))."""
    return site.add("Mul", site.x, site.add("Tanh", softplus(site)))


def swish(site: Site) -> ir.Value:
    """Returns x sigmoid(alpha x)."""
    scaled = site.add("Mul", site.x, site.number(float_attr(site.node, "alpha", 1.0)))
    return site.add("Mul", site.x, site.add("Sigmoid", scaled))


def thresholded_relu(site: Site) -> ir.Value:
    """Returns x where it is above alpha, else 0."""
    above = site.add("Greater", site.x, site.number(float_attr(site.node, "alpha", 1.0)))
    return site.add("Where", above, site.x, site.number(0.0))


def _hard_sigmoid(site: Site, alpha: float, beta: float) -> ir.Value:
    """Returns clip(alpha x + beta, 0, 1)."""
    line = site.add("Add", site.add("Mul", site.x, site.number(alpha)), site.number(beta))
    return site.add("Clip", line, site.number(0.0), site.number(1.0))


def _elu(site: Site, alpha: float, rate: float) -> ir.Value:
    """Returns relu(x) + alpha (exp(rate min(x, 0)) - 1)."""
    below = site.add("Clip", site.x, None, site.number(0.0))
    power = site.add("Exp", site.add("Mul", below, site.number(rate)))
    curved = site.add("Mul", site.add("Sub", power, site.number(1.0)), site.number(alpha))
    return site.add("Add", site.add("Relu", site.x), curved)
