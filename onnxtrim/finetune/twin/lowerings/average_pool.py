"""Average pooling; the gradient of the operator itself is only right where all sizes are known.

all of space   GlobalAveragePool
else           Conv(x, ones) / Conv(1, ones), depthwise; the divisor is the size of the window where
               no zeros are padded, or where they count
"""

from math import prod

import numpy as np
import onnx_ir as ir

from onnxtrim.finetune.twin.lowerings.site import Site
from onnxtrim.graph.constants import int_attr, ints_attr, string_attr

__all__ = ["average_pool"]

_SPACE = 2


def average_pool(site: Site) -> ir.Value | None:
    """Returns the means of windows; None where these reach over the edge."""
    node, sizes = site.node, site.sizes
    kernel = ints_attr(node, "kernel_shape") or ()
    pads = ints_attr(node, "pads") or (0,) * 2 * len(kernel)
    same = string_attr(node, "auto_pad", "NOTSET").startswith("SAME")
    if sizes is None or sizes[1] is None or same or int_attr(node, "ceil_mode", 0):
        return None
    if not any(pads) and sizes[_SPACE:] == kernel:
        return site.add("GlobalAveragePool", site.x)
    windows = {
        "pads": pads,
        "strides": ints_attr(node, "strides") or (1,) * len(kernel),
        "dilations": ints_attr(node, "dilations") or (1,) * len(kernel),
    }
    channels = sizes[1]
    ones = site.constant(np.ones((channels, 1, *kernel), dtype=np.float32))
    total = site.add("Conv", site.x, ones, group=channels, **windows)
    if not any(pads) or int_attr(node, "count_include_pad", 0):
        return site.add("Mul", total, site.number(1 / prod(kernel)))
    space = site.add("Shape", site.x, start=_SPACE)
    extent = site.add("Concat", site.ints(1, 1), space, axis=0)
    everywhere = site.add("Expand", site.number(1.0), extent)
    window = site.constant(np.ones((1, 1, *kernel), dtype=np.float32))
    return site.add("Div", total, site.add("Conv", everywhere, window, **windows))
