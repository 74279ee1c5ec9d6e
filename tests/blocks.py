"""Blocks of random networks: each takes the maps so far and returns a new one of the same size."""

from collections.abc import Callable

import numpy as np
from nets import SIZE, Map, Net

__all__ = ["BLOCKS", "conv"]

Block = Callable[[Net, list[Map]], Map]
_AREA = SIZE * SIZE
_AXES_AS_OPERAND = 13
_BATCH = 2


def conv(net: Net, maps: list[Map], width: int | None = None) -> Map:
    """Adds a dense or grouped convolution that keeps the spatial size."""
    x, channels = maps[-1]
    groups = net.one_of(*[g for g in (1, 1, 2, 3) if channels % g == 0])
    made = width or groups * net.one_of(1, 2, 3, 4)
    if made % groups:
        groups = 1
    kernel = net.one_of(1, 3)
    inputs = [x, _kernel(net, made, channels // groups, kernel, kernel)]
    if net.one_of(True, False):
        inputs.append(net.weight(made))
    padding = net.one_of("pads", "SAME_UPPER", "SAME_LOWER")
    pads = [kernel // 2] * 4 if padding == "pads" else None
    auto_pad = None if padding == "pads" else padding
    return net.node("Conv", inputs, group=groups, pads=pads, auto_pad=auto_pad), made


def _kernel(net: Net, made: int, given: int, *kernel: int) -> str:
    """Returns a kernel: plain, dequantised, transposed or reshaped."""
    way = net.one_of("plain", "plain", "dequantised", "transposed", "reshaped")
    if way == "dequantised" and net.opset >= _AXES_AS_OPERAND:
        small = net.rng.integers(-127, 127, (made, given, *kernel)).astype(np.int8)
        scale = (net.rng.random(made) / 127 + 1e-3).astype(np.float32)
        zero = net.rng.integers(-9, 9, made).astype(np.int8)
        inputs = [net.constant(small), net.constant(scale), net.constant(zero)]
        return net.node("DequantizeLinear", inputs, axis=0)
    if way == "transposed":
        return net.node("Transpose", [net.weight(given, *kernel, made)], perm=[3, 0, 1, 2])
    if way == "reshaped":
        flat = net.weight(made, given * int(np.prod(kernel)))
        return net.node("Reshape", [flat, net.ints(made, given, *kernel)])
    return net.weight(made, given, *kernel)


def _depthwise(net: Net, maps: list[Map]) -> Map:
    """Adds a depthwise convolution, with one or two outputs a channel."""
    x, channels = maps[-1]
    made = channels * net.one_of(1, 2)
    weight = net.weight(made, 1, 3, 3)
    return net.node("Conv", [x, weight, net.weight(made)], group=channels, pads=[1] * 4), made


def _conv_transpose(net: Net, maps: list[Map]) -> Map:
    """Adds a transposed convolution, dense, grouped or depthwise."""
    x, channels = maps[-1]
    groups = net.one_of(*[g for g in (1, 2, 3, channels) if channels % g == 0])
    share = net.one_of(1, 2, 3)
    inputs = [x, net.weight(channels, share, 3, 3), net.weight(share * groups)]
    return net.node("ConvTranspose", inputs, group=groups, pads=[1] * 4), share * groups


def _batch_norm(net: Net, maps: list[Map]) -> Map:
    """Adds a batch normalisation."""
    x, channels = maps[-1]
    vectors = [net.weight(channels) for _ in range(3)] + [net.weight(channels, positive=True)]
    return net.node("BatchNormalization", [x, *vectors]), channels


def _normalization(net: Net, maps: list[Map]) -> Map:
    """Adds a normalisation by instance, group, neighbours or along the channels."""
    x, channels = maps[-1]
    op = net.one_of("InstanceNormalization", "GroupNormalization", "LRN", "Softmax")
    if op == "LRN":
        return net.node(op, [x], size=3), channels
    if op == "Softmax":
        return net.node(op, [x], axis=1), channels
    if op == "GroupNormalization" and net.opset >= 21:
        groups = net.one_of(*[g for g in (1, 2, 3, 4) if channels % g == 0])
        inputs = [x, net.weight(channels), net.weight(channels)]
        result = net.node(op, inputs, num_groups=groups)
        net.maps[result] = channels
        return result, channels
    inputs = [x, net.weight(channels), net.weight(channels)]
    return net.node("InstanceNormalization", inputs), channels


def _activation(net: Net, maps: list[Map]) -> Map:
    """Adds a function of one element."""
    x, channels = maps[-1]
    op = net.one_of("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Dropout", "Identity", "PRelu")
    if op == "Clip":
        bounds = [net.constant(np.array(v, dtype=np.float32)) for v in (0, 6)]
        return net.node(op, [x, *bounds]), channels
    if op == "PRelu":
        shape = net.one_of((channels, 1, 1), (1,), (1, channels, 1, 1))
        return net.node(op, [x, net.weight(*shape)]), channels
    return net.node(op, [x]), channels


def _scaled(net: Net, maps: list[Map]) -> Map:
    """Adds arithmetic with one constant a channel, or with a scalar."""
    x, channels = maps[-1]
    op = net.one_of("Add", "Mul", "Sub", "Div", "Max", "Min")
    shape = net.one_of((channels, 1, 1), (1, channels, 1, 1), (1,), ())
    constant = net.weight(*shape, positive=True)
    swapped = op in ("Add", "Mul") and net.one_of(True, False)
    return net.node(op, [constant, x] if swapped else [x, constant]), channels


def _where(net: Net, maps: list[Map]) -> Map:
    """Adds a choice between a map and a constant a channel."""
    x, channels = maps[-1]
    zero = net.constant(np.zeros((), dtype=np.float32))
    condition = net.node("Greater", [x, zero])
    return net.node("Where", [condition, x, net.weight(1, channels, 1, 1)]), channels


def _pool(net: Net, maps: list[Map]) -> Map:
    """Adds a pool that keeps the spatial size."""
    x, channels = maps[-1]
    op = net.one_of("MaxPool", "AveragePool")
    return net.node(op, [x], kernel_shape=[3, 3], pads=[1] * 4), channels


def _resized(net: Net, maps: list[Map]) -> Map:
    """Adds an enlargement, by scales or to sizes, and a pool back."""
    x, channels = maps[-1]
    mode = net.one_of("nearest", "linear")
    # Before opset 13 what is not given is an empty tensor.
    absent = "" if net.opset >= _AXES_AS_OPERAND else net.constant(np.zeros(0, dtype=np.float32))
    inputs = [x, absent, net.constant(np.array([1, 1, 2, 2], dtype=np.float32))]
    if net.one_of(True, False):
        inputs = [x, absent, absent, _sizes(net, x, channels)]
    large = net.node("Resize", inputs, mode=mode)
    return net.node("MaxPool", [large], kernel_shape=[2, 2], strides=[2, 2]), channels


def _sizes(net: Net, x: str, channels: int) -> str:
    """Returns the sizes of a map of twice the height and width, computed from its shape."""
    shape = net.node("Shape", [x])
    if net.one_of(True, False):
        first = net.node("Slice", [shape, net.ints(0), net.ints(2)])
        return net.node("Concat", [first, net.ints(2 * SIZE, 2 * SIZE)], axis=0)
    first = net.node("Gather", [shape, net.ints(0)])
    return net.node("Concat", [first, net.ints(channels, 2 * SIZE, 2 * SIZE)], axis=0)


def _residual(net: Net, maps: list[Map]) -> Map:
    """Adds a branch to what it started from."""
    x, channels = maps[-1]
    branch = _activation(net, [conv(net, maps)])
    back, _ = conv(net, [branch], width=channels)
    return net.node("Add", [x, back] if net.one_of(True, False) else [back, x]), channels


def _concat(net: Net, maps: list[Map]) -> Map:
    """Joins the last map with any other, itself included."""
    x, channels = maps[-1]
    other, width = net.one_of(*maps)
    return net.node("Concat", [other, x], axis=net.one_of(1, -3)), channels + width


def _split(net: Net, maps: list[Map]) -> Map:
    """Splits the channels and joins the parts in another order, or adds them."""
    x, channels = maps[-1]
    if channels < 2:
        return x, channels
    first = net.one_of(1, channels // 2, channels - 1)
    sizes = [first, channels - first]
    axis = net.one_of(1, -3)
    if net.opset < _AXES_AS_OPERAND:
        parts = net.nodes_of("Split", [x], 2, axis=axis, split=sizes)
    else:
        parts = net.nodes_of("Split", [x, net.ints(*sizes)], 2, axis=axis)
    if sizes[0] == sizes[1] and net.one_of(True, False):
        return net.node("Add", parts), first
    return net.node("Concat", [parts[1], parts[0]], axis=1), channels


def _slice(net: Net, maps: list[Map]) -> Map:
    """Takes some channels, in steps, back to front, and perhaps joins them with all."""
    x, channels = maps[-1]
    step = net.one_of(1, 2, 3, -1, -2)
    start, end = net.one_of((0, channels), (0, -1), (1, 2**31 - 1), (-2, 2**31 - 1))
    if step < 0:
        start, end = net.one_of((-1, -(2**31) + 1), (channels - 1, 0), (2**31 - 1, -channels - 1))
    count = len(range(*slice(start, end, step).indices(channels)))
    if count == 0:
        return x, channels
    bounds = [net.ints(value) for value in (start, end, net.one_of(1, -3), step)]
    part = net.node("Slice", [x, *bounds])
    if net.one_of(True, False):
        return part, count
    return net.node("Concat", [part, x], axis=1), count + channels


def _gather(net: Net, maps: list[Map]) -> Map:
    """Picks channels in any order, some twice."""
    x, channels = maps[-1]
    places = net.rng.integers(-channels, channels, net.one_of(1, 2, channels, channels + 1))
    return net.node("Gather", [x, net.constant(places)], axis=1), len(places)


def _pad(net: Net, maps: list[Map]) -> Map:
    """Pads the channels, or takes some away."""
    x, channels = maps[-1]
    begin, end = net.one_of((1, 2), (0, 1), (2, 0), (1, -1), (-1, 0))
    if channels + min(begin, 0) + min(end, 0) < 1:
        begin, end = 1, 1
    padded = net.node("Pad", [x, net.ints(0, begin, 0, 0, 0, end, 0, 0)])
    return padded, channels + begin + end


def _tiled(net: Net, maps: list[Map]) -> Map:
    """Repeats the channels, or adds constants that were expanded to them."""
    x, channels = maps[-1]
    if net.one_of(True, False):
        return net.node("Tile", [x, net.ints(1, 2, 1, 1)]), 2 * channels
    value = net.weight(1, net.one_of(1, channels), 1, 1)
    return net.node(
        "Add", [x, net.node("Expand", [value, net.ints(1, channels, 1, SIZE)])]
    ), channels


def _shuffled(net: Net, maps: list[Map]) -> Map:
    """Shuffles the channels by Reshape and Transpose."""
    x, channels = maps[-1]
    groups = net.one_of(*[g for g in (1, 2, 3, 4) if channels % g == 0])
    apart = net.node("Reshape", [x, net.ints(-1, groups, channels // groups, SIZE, SIZE)])
    turned = net.node("Transpose", [apart], perm=[0, 2, 1, 3, 4])
    return net.node("Reshape", [turned, net.ints(0, channels, SIZE, SIZE)]), channels


def _into_space(net: Net, maps: list[Map]) -> Map:
    """Moves channels into space, by DepthToSpace or by hand, and pools or moves them back."""
    x, channels = maps[-1]
    if channels % 4:
        return x, channels
    made = channels // 4
    way = net.one_of("DCR", "CRD", "by hand")
    if way == "by hand":
        outer = net.one_of(True, False)
        parts = [made, 2, 2] if outer else [2, 2, made]
        apart = net.node("Reshape", [x, net.ints(0, *parts, SIZE, SIZE)])
        perm = [0, 1, 4, 2, 5, 3] if outer else [0, 3, 4, 1, 5, 2]
        turned = net.node("Transpose", [apart], perm=perm)
        large = net.node("Reshape", [turned, net.ints(0, made, 2 * SIZE, 2 * SIZE)])
    else:
        large = net.node("DepthToSpace", [x], blocksize=2, mode=way)
    if net.one_of(True, False):
        return net.node("SpaceToDepth", [large], blocksize=2), channels
    return net.node("AveragePool", [large], kernel_shape=[2, 2], strides=[2, 2]), made


def _squeeze_excite(net: Net, maps: list[Map]) -> Map:
    """Scales every channel by a gate computed from all of them."""
    x, channels = maps[-1]
    pooled = net.node("GlobalAveragePool", [x])
    hidden = net.one_of(1, 2, 3)
    if net.one_of(True, False):
        squeezed = net.node(
            "Relu", [net.node("Conv", [pooled, net.weight(hidden, channels, 1, 1)])]
        )
        gate = net.node("Conv", [squeezed, net.weight(channels, hidden, 1, 1)])
    else:
        flat = net.node("Flatten", [pooled])
        squeezed = net.node("Relu", [net.node("Gemm", [flat, net.weight(channels, hidden)])])
        excited = net.node("Gemm", [squeezed, net.weight(hidden, channels)])
        gate = _unsqueeze(net, excited, 2, 3)
    return net.node("Mul", [x, net.node("Sigmoid", [gate])]), channels


def _unsqueeze(net: Net, x: str, *axes: int) -> str:
    """Adds axes of size 1."""
    if net.opset < _AXES_AS_OPERAND:
        return net.node("Unsqueeze", [x], axes=list(axes))
    return net.node("Unsqueeze", [x, net.ints(*axes)])


def _spatial_gate(net: Net, maps: list[Map]) -> Map:
    """Scales every position by a gate computed from all channels."""
    x, channels = maps[-1]
    gate = net.node("Sigmoid", [net.node("Conv", [x, net.weight(1, channels, 1, 1)])])
    return net.node("Mul", [x, gate]), channels


def _channels_last(net: Net, maps: list[Map]) -> Map:
    """Mixes the channels in the last place, by a matrix product and a bias."""
    x, channels = maps[-1]
    made = net.one_of(1, 2, 4)
    turned = net.node("Transpose", [x], perm=[0, 2, 3, 1])
    shape = net.one_of((channels, made), (SIZE, channels, made))
    product = net.node("MatMul", [turned, net.weight(*shape)])
    result = net.node("Add", [product, net.weight(made)])
    return net.node("Transpose", [result], perm=[0, 3, 1, 2]), made


def _einsum(net: Net, maps: list[Map]) -> Map:
    """Mixes the channels by a sum over a letter."""
    x, channels = maps[-1]
    made = net.one_of(1, 2, 4)
    equation, shape = net.one_of(
        ("nchw,mc->nmhw", (made, channels)), ("nchw,hcm->nmhw", (SIZE, channels, made))
    )
    return net.node("Einsum", [x, net.weight(*shape)], equation=equation), made


def _from_the_left(net: Net, maps: list[Map]) -> Map:
    """Mixes the channels by a constant on the left of a product."""
    x, channels = maps[-1]
    made = net.one_of(1, 2, 4)
    flat = net.node("Reshape", [x, net.ints(0, channels, _AREA)])
    product = net.node("MatMul", [net.weight(made, channels), flat])
    return net.node("Reshape", [product, net.ints(0, made, SIZE, SIZE)]), made


def _attention(net: Net, maps: list[Map]) -> Map:
    """Mixes the positions by an attention of one or two heads."""
    x, channels = maps[-1]
    heads, size = net.one_of(1, 2, 3), net.one_of(1, 2)
    flat = net.node("Reshape", [x, net.ints(0, channels, _AREA)])
    tokens = net.node("Transpose", [flat], perm=[0, 2, 1])

    def parts(perm: list[int]) -> str:
        made = net.node("MatMul", [tokens, net.weight(channels, heads * size)])
        apart = net.node("Reshape", [made, net.ints(0, 0, heads, size)])
        return net.node("Transpose", [apart], perm=perm)

    scores = net.node("MatMul", [parts([0, 2, 1, 3]), parts([0, 2, 3, 1])])
    mixed = net.node("MatMul", [net.node("Softmax", [scores], axis=-1), parts([0, 2, 1, 3])])
    turned = net.node("Transpose", [mixed], perm=[0, 2, 1, 3])
    together = net.node("Reshape", [turned, net.ints(0, 0, heads * size)])
    made = net.node("MatMul", [together, net.weight(heads * size, channels)])
    back = net.node("Transpose", [made], perm=[0, 2, 1])
    return net.node("Reshape", [back, net.ints(0, channels, SIZE, SIZE)]), channels


def _recurrent(net: Net, maps: list[Map]) -> Map:
    """Reads the positions one after another by a recurrent layer."""
    x, channels = maps[-1]
    op, hidden = net.one_of("LSTM", "GRU", "RNN"), net.one_of(2, 3)
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    directions = net.one_of(1, 2)
    flat = net.node("Reshape", [x, net.ints(0, channels, _AREA)])
    steps = net.node("Transpose", [flat], perm=[2, 0, 1])
    weights = [
        net.weight(directions, gates * hidden, channels),
        net.weight(directions, gates * hidden, hidden),
        net.weight(directions, 2 * gates * hidden),
    ]
    direction = "bidirectional" if directions == 2 else net.one_of("forward", "reverse")
    states = net.node(op, [steps, *weights], hidden_size=hidden, direction=direction)
    turned = net.node("Transpose", [states], perm=[2, 1, 3, 0])
    made = directions * hidden
    return net.node("Reshape", [turned, net.ints(0, made, SIZE, SIZE)]), made


def _shared_kernel(net: Net, maps: list[Map]) -> Map:
    """Adds two convolutions with one kernel."""
    x, channels = maps[-1]
    weight = net.weight(channels, channels, 1, 1)
    first = net.node("Relu", [net.node("Conv", [x, weight])])
    return net.node("Conv", [first, weight]), channels


def _half_in_space(net: Net, maps: list[Map]) -> Map:
    """Doubles the height by a map of as many channels, and takes every other row."""
    x, channels = maps[-1]
    same = [name for name, width in maps if width == channels]
    tall = net.node("Concat", [x, net.one_of(*same)], axis=2)
    bounds = [net.ints(value) for value in (0, 2 * SIZE, 2, 2)]
    return net.node("Slice", [tall, *bounds]), channels


BLOCKS: tuple[Block, ...] = (
    conv, conv, conv, conv, _depthwise, _depthwise, _conv_transpose, _batch_norm, _batch_norm,
    _normalization, _activation, _activation, _activation, _scaled, _where, _pool, _resized,
    _residual, _residual, _concat, _concat, _split, _slice, _gather, _pad, _tiled, _shuffled,
    _into_space, _squeeze_excite, _spatial_gate, _channels_last, _einsum, _from_the_left,
    _attention, _recurrent, _shared_kernel, _half_in_space,
)  # fmt: skip
