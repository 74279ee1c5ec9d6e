"""The building blocks of published networks as small graphs in ONNX text.

Every body ends in `y`. Widths are small enough to run in milliseconds and large enough for a share
of parameters to mean something.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["TOPOLOGIES", "Topology"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """A graph in ONNX text, with the shapes of its random weights and its integer constants."""

    signature: str
    body: str
    weights: Mapping[str, Shape]
    ints: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    opset: int = 17

    def model(self) -> onnx.ModelProto:
        """Returns the graph as a model; the weights are the same every time."""
        rng = np.random.default_rng(3)
        header = f'<ir_version: 8, opset_import: ["": {self.opset}]>'
        model = onnx.parser.parse_model(f"{header} g {self.signature} {{ {self.body} }}")
        for name, shape in self.weights.items():
            array = rng.standard_normal(shape) / np.sqrt(max(float(np.prod(shape[1:])), 1.0))
            if name.endswith("var"):
                array = np.abs(array) + 0.5
            tensor = numpy_helper.from_array(array.astype(np.float32), name)
            model.graph.initializer.append(tensor)
        for name, values in self.ints.items():
            tensor = numpy_helper.from_array(np.array(values, dtype=np.int64), name)
            model.graph.initializer.append(tensor)
        return model


IMAGE = "(float[N,3,16,16] x) => (float[N,10] y)"
MAP = "(float[N,3,16,16] x) => (float[N,4,16,16] y)"
HEAD = (
    "pooled = GlobalAveragePool ({0}) flat = Flatten (pooled) y = Gemm <transB = 1> (flat, wf, bf)"
)


def norm(name: str, width: int) -> dict[str, Shape]:
    """Returns the vectors of a batch normalisation."""
    return {f"{name}_{part}": (width,) for part in ("s", "b", "mean", "var")}


def bn(name: str, x: str, y: str) -> str:
    """Returns a batch normalisation as text."""
    return f"{y} = BatchNormalization ({x}, {name}_s, {name}_b, {name}_mean, {name}_var)"


def head(width: int, classes: int = 10) -> dict[str, Shape]:
    """Returns the weights of a classifier."""
    return {"wf": (classes, width), "bf": (classes,)}


def _conv_bn_relu() -> Topology:
    body, weights, width = "", head(64), 3
    x = "x"
    for i, made in enumerate((32, 64, 64)):
        body += f"c{i} = Conv <pads = [1,1,1,1]> ({x}, w{i}) {bn(f'n{i}', f'c{i}', f'b{i}')} "
        body += f"r{i} = Relu (b{i}) "
        weights |= {f"w{i}": (made, width, 3, 3), **norm(f"n{i}", made)}
        x, width = f"r{i}", made
    return Topology(IMAGE, body + HEAD.format(x), weights)


def _resnet(*, folded: bool) -> Topology:
    def unit(i: str, x: str, made: int, given: int) -> str:
        weights[f"w{i}"] = (made, given, 3, 3)
        if folded:
            weights[f"b{i}"] = (made,)
            return f"n{i} = Conv <pads = [1,1,1,1]> ({x}, w{i}, b{i}) "
        weights.update(norm(f"v{i}", made))
        return f"c{i} = Conv <pads = [1,1,1,1]> ({x}, w{i}) {bn(f'v{i}', f'c{i}', f'n{i}')} "

    weights = head(32)
    body = unit("s", "x", 32, 3) + "x0 = Relu (ns) "
    for i in range(3):
        body += unit(f"{i}a", f"x{i}", 32, 32) + f"h{i} = Relu (n{i}a) "
        body += unit(f"{i}b", f"h{i}", 32, 32) + f"a{i} = Add (n{i}b, x{i}) "
        body += f"x{i + 1} = Relu (a{i}) "
    return Topology(IMAGE, body + HEAD.format("x3"), weights)


def _densenet(*, pre_activation: bool) -> Topology:
    body, width = "x0 = Conv <pads = [1,1,1,1]> (x, ws) ", 24
    weights: dict[str, Shape] = {"ws": (24, 3, 3, 3)}
    for i in range(4):
        source = f"x{i}"
        if pre_activation:
            body += f"{bn(f'v{i}', source, f'n{i}')} p{i} = Relu (n{i}) "
            weights |= norm(f"v{i}", width)
            source = f"p{i}"
        body += f"c{i} = Conv <pads = [1,1,1,1]> ({source}, w{i}) "
        body += f"g{i} = {'Identity' if pre_activation else 'Relu'} (c{i}) "
        body += f"x{i + 1} = Concat <axis = 1> (x{i}, g{i}) "
        weights[f"w{i}"] = (16, width, 3, 3)
        width += 16
    return Topology(IMAGE, body + HEAD.format("x4"), weights | head(width))


def _unet(up: str) -> Topology:
    enlarge = {
        "scales": 'u = Resize <mode = "nearest"> (b, , scales)',
        "sizes": 'u = Resize <mode = "nearest"> (b, , , sizes)',
        "transposed": "u = ConvTranspose <strides = [2,2]> (b, wu, bu)",
    }[up]
    body = f"""
        e1 = Conv <pads = [1,1,1,1]> (x, w1, b1) a1 = Relu (e1)
        d = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a1)
        e2 = Conv <pads = [1,1,1,1]> (d, w2, b2) b = Relu (e2)
        {enlarge}
        cat = Concat <axis = 1> (u, a1)
        e3 = Conv <pads = [1,1,1,1]> (cat, w3, b3) a3 = Relu (e3)
        y = Conv (a3, w4, b4)
    """
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "w2": (64, 32, 3, 3), "b2": (64,),
        "w3": (32, 96, 3, 3), "b3": (32,), "w4": (4, 32, 1, 1), "b4": (4,),
    }  # fmt: skip
    ints = {}
    if up == "scales":
        body = "scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> () " + body
    if up == "sizes":
        ints = {"sizes": (2, 64, 16, 16)}
    if up == "transposed":
        weights |= {"wu": (64, 64, 2, 2), "bu": (64,)}
    signature = MAP.replace("N", "2") if up == "sizes" else MAP
    return Topology(signature, body, weights, ints)


def _transposed_mlp() -> Topology:
    body = """
        s = Conv <pads = [3,3,3,3], group = 1> (x, ws, bs)
        t = Transpose <perm = [0,2,3,1]> (s)
        h = MatMul (t, w1) hb = Add (h, b1) g = Relu (hb)
        o = MatMul (g, w2) ob = Add (o, b2)
        back = Transpose <perm = [0,3,1,2]> (ob)
        r = Add (s, back)
    """ + HEAD.format("r")
    weights = {
        "ws": (32, 3, 7, 7), "bs": (32,), "w1": (32, 128), "b1": (128,), "w2": (128, 32),
        "b2": (32,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32))


def _scaled_channels() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1) m1 = Mul (c1, s1) a1 = Add (m1, t1) r1 = Relu (a1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2) m2 = Mul (s2, c2) a2 = Add (m2, t2) r2 = Relu (a2)
    """ + HEAD.format("r2")
    weights = {
        "w1": (32, 3, 3, 3), "s1": (1, 32, 1, 1), "t1": (32, 1, 1), "w2": (32, 32, 3, 3),
        "s2": (32, 1, 1), "t2": (1, 32, 1, 1),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32))


def _shufflenet() -> Topology:
    body, weights = "x0 = Conv <pads = [1,1,1,1]> (x, ws, bs) ", {"ws": (48, 3, 3, 3), "bs": (48,)}
    for i in range(3):
        body += f"""
            l{i}, h{i} = Split <axis = 1> (x{i}, halves)
            p{i} = Conv (h{i}, w{i}a) q{i} = Relu (p{i})
            d{i} = Conv <pads = [1,1,1,1], group = 24> (q{i}, w{i}b)
            e{i} = Conv (d{i}, w{i}c) f{i} = Relu (e{i})
            j{i} = Concat <axis = 1> (l{i}, f{i})
            v{i} = Reshape (j{i}, apart) t{i} = Transpose <perm = [0,2,1,3,4]> (v{i})
            x{i + 1} = Reshape (t{i}, together)
        """
        weights |= {
            f"w{i}a": (24, 24, 1, 1), f"w{i}b": (24, 1, 3, 3), f"w{i}c": (24, 24, 1, 1),
        }  # fmt: skip
    ints = {"halves": (24, 24), "apart": (-1, 2, 24, 16, 16), "together": (-1, 48, 16, 16)}
    return Topology(IMAGE, body + HEAD.format("x3"), weights | head(48), ints)


def _mobilenet_v2() -> Topology:
    weights = {"ws": (16, 3, 3, 3), "bs": (16,)}
    body = """
        low = Constant <value = float {0.0}> () high = Constant <value = float {6.0}> ()
        c = Conv <pads = [1,1,1,1]> (x, ws, bs) x0 = Clip (c, low, high)
    """
    for i in range(3):
        body += f"""
            e{i} = Conv (x{i}, w{i}a, b{i}a) f{i} = Clip (e{i}, low, high)
            d{i} = Conv <pads = [1,1,1,1], group = 64> (f{i}, w{i}b, b{i}b)
            g{i} = Clip (d{i}, low, high)
            p{i} = Conv (g{i}, w{i}c, b{i}c) x{i + 1} = Add (x{i}, p{i})
        """
        weights |= {
            f"w{i}a": (64, 16, 1, 1), f"b{i}a": (64,), f"w{i}b": (64, 1, 3, 3), f"b{i}b": (64,),
            f"w{i}c": (16, 64, 1, 1), f"b{i}c": (16,),
        }  # fmt: skip
    return Topology(IMAGE, body + HEAD.format("x3"), weights | head(16))


def _reduce_mean_head() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2) r2 = Relu (c2)
        m = ReduceMean <axes = [2,3], keepdims = 0> (r2)
        y = Gemm <transB = 1> (m, wf, bf)
    """
    weights = {"w1": (32, 3, 3, 3), "b1": (32,), "w2": (64, 32, 3, 3), "b2": (64,)}
    return Topology(IMAGE, body, weights | head(64))


def _spatial_attention() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1) r1 = Relu (c1)
        g = Conv (r1, wg, bg) s = Sigmoid (g) m = Mul (r1, s)
        c2 = Conv <pads = [1,1,1,1]> (m, w2, b2) r2 = Relu (c2)
    """ + HEAD.format("r2")
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "wg": (1, 32, 1, 1), "bg": (1,), "w2": (32, 32, 3, 3),
        "b2": (32,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32))


def _resnet_stem() -> Topology:
    body = """
        s = Conv <pads = [3,3,3,3], strides = [2,2]> (x, ws, bs) sr = Relu (s)
        p = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (sr)
        c1 = Conv <pads = [1,1,1,1]> (p, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
        a = Add (c2, p) r = Relu (a)
    """ + HEAD.format("r")
    weights = {
        "ws": (32, 3, 7, 7), "bs": (32,), "w1": (32, 32, 3, 3), "b1": (32,),
        "w2": (32, 32, 3, 3), "b2": (32,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32))


def _two_heads() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2) r2 = Relu (c2)
        boxes = Conv (r2, wb, bb)
        c3 = Conv <pads = [1,1,1,1]> (r2, w3, b3) r3 = Relu (c3)
    """ + HEAD.format("r3")
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3), "b2": (32,), "wb": (4, 32, 1, 1),
        "bb": (4,), "w3": (32, 32, 3, 3), "b3": (32,),
    }  # fmt: skip
    signature = "(float[N,3,16,16] x) => (float[N,10] y, float[N,4,16,16] boxes)"
    return Topology(signature, body, weights | head(32))


def _lenet(flatten: str) -> Topology:
    body = f"""
        c1 = Conv (x, w1, b1) r1 = Relu (c1)
        p1 = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r1)
        c2 = Conv (p1, w2, b2) r2 = Relu (c2)
        p2 = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r2)
        f = {flatten}
        g = Gemm <transB = 1> (f, w3, b3) r3 = Relu (g)
        y = Gemm <transB = 1> (r3, wf, bf)
    """
    weights = {
        "w1": (16, 3, 3, 3), "b1": (16,), "w2": (32, 16, 3, 3), "b2": (32,), "w3": (64, 128),
        "b3": (64,),
    }  # fmt: skip
    ints = {"target": (-1, 128)} if "Reshape" in flatten else {}
    return Topology(IMAGE, body, weights | head(64), ints)


def _resnext() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) x0 = Relu (s)
        a = Conv (x0, w1, b1) ar = Relu (a)
        g = Conv <pads = [1,1,1,1], group = 4> (ar, w2, b2) gr = Relu (g)
        c = Conv (gr, w3, b3) r = Add (c, x0) z = Relu (r)
    """ + HEAD.format("z")
    weights = {
        "ws": (32, 3, 3, 3), "bs": (32,), "w1": (32, 32, 1, 1), "b1": (32,),
        "w2": (32, 8, 3, 3), "b2": (32,), "w3": (32, 32, 1, 1), "b3": (32,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32))


def _c2f() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) sr = Relu (s)
        l, h = Split <axis = 1> (sr, halves)
        c1 = Conv <pads = [1,1,1,1]> (h, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2) r2 = Relu (c2)
        k = Add (r2, h)
        j = Concat <axis = 1> (l, h, k)
        o = Conv (j, w3, b3) z = Relu (o)
    """ + HEAD.format("z")
    weights = {
        "ws": (32, 3, 3, 3), "bs": (32,), "w1": (16, 16, 3, 3), "b1": (16,), "w2": (16, 16, 3, 3),
        "b2": (16,), "w3": (32, 48, 1, 1), "b3": (32,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(32), {"halves": (16, 16)})


def _inception() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) sr = Relu (s)
        a = Conv (sr, wa, ba) ar = Relu (a)
        b = Conv <pads = [1,1,1,1]> (sr, wb, bb) br = Relu (b)
        p = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (sr) c = Conv (p, wc, bc) cr = Relu (c)
        j = Concat <axis = 1> (ar, br, cr)
        o = Conv <pads = [1,1,1,1]> (j, wo, bo) z = Relu (o)
    """ + HEAD.format("z")
    weights = {
        "ws": (32, 3, 3, 3), "bs": (32,), "wa": (16, 32, 1, 1), "ba": (16,), "wb": (32, 32, 3, 3),
        "bb": (32,), "wc": (16, 32, 1, 1), "bc": (16,), "wo": (64, 64, 3, 3), "bo": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64))


def _squeeze_excite() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) x0 = HardSwish (s)
        p = GlobalAveragePool (x0) q = Conv (p, wq, bq) qr = Relu (q)
        e = Conv (qr, we, be) gate = HardSigmoid (e)
        m = Mul (x0, gate)
        c = Conv <pads = [1,1,1,1]> (m, w1, b1) z = HardSwish (c)
    """ + HEAD.format("z").replace("pooled", "pooled2")
    weights = {
        "ws": (32, 3, 3, 3), "bs": (32,), "wq": (8, 32, 1, 1), "bq": (8,), "we": (32, 8, 1, 1),
        "be": (32,), "w1": (64, 32, 3, 3), "b1": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64))


def _pixel_shuffle() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2) r2 = Relu (c2)
        up = DepthToSpace <blocksize = 2, mode = "CRD"> (r2)
        c3 = Conv <pads = [1,1,1,1], strides = [2,2]> (up, w3, b3) r3 = Relu (c3)
        y = Conv (r3, w4, b4)
    """
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "w2": (64, 32, 3, 3), "b2": (64,),
        "w3": (32, 16, 3, 3), "b3": (32,), "w4": (4, 32, 1, 1), "b4": (4,),
    }  # fmt: skip
    return Topology(MAP, body, weights)


def _leaky_and_prelu() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1, b1) r1 = LeakyRelu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2) r2 = PRelu (c2, slope)
        c3 = Conv <pads = [1,1,1,1]> (r2, w3, b3) r3 = LeakyRelu (c3)
    """ + HEAD.format("r3")
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "w2": (64, 32, 3, 3), "b2": (64,), "slope": (64, 1, 1),
        "w3": (64, 64, 3, 3), "b3": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64))


def _instance_norm() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1) n1 = InstanceNormalization (c1, s1, t1) r1 = Relu (n1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2) n2 = InstanceNormalization (c2, s2, t2) r2 = Relu (n2)
        c3 = Conv <pads = [1,1,1,1]> (r2, w3) r3 = Relu (c3)
        y = Conv (r3, w4)
    """
    weights = {
        "w1": (32, 3, 3, 3), "s1": (32,), "t1": (32,), "w2": (64, 32, 3, 3), "s2": (64,),
        "t2": (64,), "w3": (64, 64, 3, 3), "w4": (4, 64, 1, 1),
    }  # fmt: skip
    return Topology(MAP, body, weights)


def _pad_then_conv() -> Topology:
    body = """
        p1 = Pad (x, amounts) c1 = Conv (p1, w1, b1) r1 = Relu (c1)
        p2 = Pad <mode = "reflect"> (r1, amounts) c2 = Conv (p2, w2, b2) r2 = Relu (c2)
        p3 = Pad (r2, amounts) c3 = Conv (p3, w3, b3) r3 = Relu (c3)
    """ + HEAD.format("r3")
    weights = {
        "w1": (32, 3, 3, 3), "b1": (32,), "w2": (64, 32, 3, 3), "b2": (64,),
        "w3": (64, 64, 3, 3), "b3": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64), {"amounts": (0, 0, 1, 1, 0, 0, 1, 1)})


def _shared_weight() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) x0 = Relu (s)
        c1 = Conv <pads = [1,1,1,1]> (x0, w, b) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w, b) r2 = Relu (c2)
        c3 = Conv <pads = [1,1,1,1]> (r2, w3, b3) r3 = Relu (c3)
    """ + HEAD.format("r3")
    weights = {
        "ws": (64, 3, 3, 3), "bs": (64,), "w": (64, 64, 3, 3), "b": (64,), "w3": (64, 64, 3, 3),
        "b3": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64))


def _cifar_shortcut() -> Topology:
    body = """
        s = Conv <pads = [1,1,1,1]> (x, ws, bs) x0 = Relu (s)
        c1 = Conv <pads = [1,1,1,1], strides = [2,2]> (x0, w1, b1) r1 = Relu (c1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
        half = Slice (x0, starts, ends, axes, steps) wide = Pad (half, amounts)
        a = Add (c2, wide) z = Relu (a)
    """ + HEAD.format("z")
    weights = {
        "ws": (32, 3, 3, 3), "bs": (32,), "w1": (64, 32, 3, 3), "b1": (64,),
        "w2": (64, 64, 3, 3), "b2": (64,),
    }  # fmt: skip
    ints = {
        "starts": (0, 0), "ends": (2**31 - 1, 2**31 - 1), "axes": (2, 3), "steps": (2, 2),
        "amounts": (0, 16, 0, 0, 0, 16, 0, 0),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64), ints)


def _attention() -> Topology:
    body = """
        q = MatMul (x, wq) qb = Add (q, bq) q4 = Reshape (qb, heads)
        qt = Transpose <perm = [0,2,1,3]> (q4)
        k = MatMul (x, wk) kb = Add (k, bk) k4 = Reshape (kb, heads)
        kt = Transpose <perm = [0,2,3,1]> (k4)
        v = MatMul (x, wv) vb = Add (v, bv) v4 = Reshape (vb, heads)
        vt = Transpose <perm = [0,2,1,3]> (v4)
        scores = MatMul (qt, kt) scale = Constant <value = float {0.35}> ()
        scaled = Mul (scores, scale) p = Softmax <axis = -1> (scaled)
        m = MatMul (p, vt) mt = Transpose <perm = [0,2,1,3]> (m) flat = Reshape (mt, together)
        o = MatMul (flat, wo) ob = Add (o, bo) r = Add (x, ob)
        h = MatMul (r, w1) hb = Add (h, b1) g = Relu (hb)
        y = MatMul (g, w2)
    """
    weights = {
        **{f"w{i}": (32, 32) for i in "qkvo"}, **{f"b{i}": (32,) for i in "qkvo"},
        "w1": (32, 64), "b1": (64,), "w2": (64, 10),
    }  # fmt: skip
    ints = {"heads": (0, 0, 4, 8), "together": (0, 0, 32)}
    signature = "(float[N,T,32] x) => (float[N,T,10] y)"
    return Topology(signature, body, weights, ints)


def _recurrent() -> Topology:
    body = """
        c = Conv <pads = [1,1]> (x, ws, bs) r = Relu (c)
        t = Transpose <perm = [2,0,1]> (r)
        s, last = LSTM <hidden_size = 32, direction = "bidirectional"> (t, w, rw, b)
        n = Transpose <perm = [1,0,2]> (last) f = Reshape (n, target)
        y = Gemm <transB = 1> (f, wf, bf)
    """
    weights = {
        "ws": (32, 4, 3), "bs": (32,), "w": (2, 128, 32), "rw": (2, 128, 32), "b": (2, 256),
    }  # fmt: skip
    signature = "(float[N,4,12] x) => (float[N,10] y)"
    return Topology(signature, body, weights | head(64), {"target": (0, 64)})


def _channels_last() -> Topology:
    body = """
        t = Transpose <perm = [0,3,1,2]> (x)
        c1 = Conv <pads = [1,1,1,1]> (t, w1) u1 = Transpose <perm = [0,2,3,1]> (c1)
        a1 = Add (u1, b1) r1 = Relu (a1)
        v1 = Transpose <perm = [0,3,1,2]> (r1)
        c2 = Conv <pads = [1,1,1,1]> (v1, w2) u2 = Transpose <perm = [0,2,3,1]> (c2)
        a2 = Add (u2, b2) r2 = Relu (a2)
        f = Reshape (r2, target) y = MatMul (f, w3)
    """
    weights = {
        "w1": (16, 3, 3, 3),
        "b1": (16,),
        "w2": (32, 16, 3, 3),
        "b2": (32,),
        "w3": (2048, 10),
    }
    signature = "(float[N,8,8,3] x) => (float[N,10] y)"
    return Topology(signature, body, weights, {"target": (-1, 2048)})


def _group_norm() -> Topology:
    body = """
        c1 = Conv <pads = [1,1,1,1]> (x, w1) n1 = GroupNormalization <num_groups = 8> (c1, s1, t1)
        r1 = Relu (n1)
        c2 = Conv <pads = [1,1,1,1]> (r1, w2) n2 = GroupNormalization <num_groups = 8> (c2, s2, t2)
        r2 = Relu (n2)
    """ + HEAD.format("r2")
    weights = {
        "w1": (32, 3, 3, 3), "s1": (32,), "t1": (32,), "w2": (64, 32, 3, 3), "s2": (64,),
        "t2": (64,),
    }  # fmt: skip
    return Topology(IMAGE, body, weights | head(64), opset=21)


TOPOLOGIES: dict[str, Topology] = {
    "conv, BN unfused, relu": _conv_bn_relu(),
    "ResNet, BN unfused": _resnet(folded=False),
    "ResNet, BN folded": _resnet(folded=True),
    "DenseNet, pre-activation BN": _densenet(pre_activation=True),
    "DenseNet concat chain": _densenet(pre_activation=False),
    "U-Net, Resize scales": _unet("scales"),
    "U-Net, Resize sizes": _unet("sizes"),
    "U-Net, ConvTranspose": _unet("transposed"),
    "transpose + MatMul MLP block": _transposed_mlp(),
    "channel Mul/Add by constants": _scaled_channels(),
    "ShuffleNet split + shuffle": _shufflenet(),
    "MobileNetV2, Clip": _mobilenet_v2(),
    "ReduceMean head": _reduce_mean_head(),
    "spatial-attention gate": _spatial_attention(),
    "ResNet stem + MaxPool": _resnet_stem(),
    "two output heads": _two_heads(),
    "LeNet, flatten": _lenet("Flatten (p2)"),
    "LeNet, reshape by a constant": _lenet("Reshape (p2, target)"),
    "ResNeXt group conv": _resnext(),
    "C2f split + concat": _c2f(),
    "Inception concat": _inception(),
    "SE + HardSigmoid/HardSwish": _squeeze_excite(),
    "PixelShuffle": _pixel_shuffle(),
    "LeakyRelu + PRelu": _leaky_and_prelu(),
    "InstanceNorm": _instance_norm(),
    "Pad then Conv": _pad_then_conv(),
    "shared weight": _shared_weight(),
    "CIFAR shortcut, Slice + Pad": _cifar_shortcut(),
    "attention, heads by Reshape": _attention(),
    "bidirectional LSTM": _recurrent(),
    "channels last, from TensorFlow": _channels_last(),
    "GroupNorm": _group_norm(),
}
