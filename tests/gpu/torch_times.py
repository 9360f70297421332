"""Times an ONNX network of the zoo in PyTorch: eager and as a CUDA graph, FP32 and FP16.

Run by a Python that has PyTorch and onnx, apart from the workbench: MODEL.onnx BATCH...
Operators are called in the order of the file; prints one line of JSON.
"""

import json
import statistics
import sys

import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def pads(a):
    begin, end = a.get("pads", [0, 0, 0, 0])[:2], a.get("pads", [0, 0, 0, 0])[2:]
    assert begin == end, "unequal pads"
    return tuple(begin)


def step(node, w):
    """A function of the values so far, prepared once."""
    a, kind = attributes(node), node.op_type
    if kind == "Conv":
        more = (tuple(a.get("strides", [1, 1])), pads(a), tuple(a.get("dilations", [1, 1])))
        return lambda x, k, b=None: F.conv2d(x, k, b, *more, a.get("group", 1))
    if kind == "BatchNormalization":
        eps = a.get("epsilon", 1e-5)
        return lambda x, s, b, m, v: F.batch_norm(x, m, v, s, b, False, 0.0, eps)
    if kind == "MaxPool":
        size, stride, ceil = a["kernel_shape"], a.get("strides", [1, 1]), bool(a.get("ceil_mode"))
        p = a.get("pads", [0, 0, 0, 0])
        if p[:2] != p[2:]:
            side = (p[1], p[3], p[0], p[2])
            return lambda x: F.max_pool2d(F.pad(x, side, value=-65504.0), size, stride, 0, 1, ceil)
        return lambda x: F.max_pool2d(x, size, stride, pads(a), 1, ceil)
    if kind == "Clip":
        return lambda x, low=None, high=None: torch.clamp(
            x, float(w[node.input[1]]), float(w[node.input[2]])
        )
    if kind == "LRN":
        return lambda x: F.local_response_norm(x, a["size"], a["alpha"], a["beta"], a["bias"])
    if kind == "Gemm":
        assert a.get("transB", 0) == 1
        return lambda x, k, b=None: F.linear(x, k, b)
    return {
        "Relu": F.relu, "Add": torch.add, "Flatten": lambda x: torch.flatten(x, 1),
        "Concat": lambda *xs: torch.cat(xs, a.get("axis", 1)),
        "GlobalAveragePool": lambda x: F.adaptive_avg_pool2d(x, 1),
        "Softmax": lambda x: F.softmax(x, a.get("axis", -1)),
    }[kind]  # fmt: skip


def network(path, half):
    proto = onnx.load(path).graph
    small = {t.name: onnx.numpy_helper.to_array(t).copy() for t in proto.initializer}
    w = {n: torch.from_numpy(v).cuda() for n, v in small.items()}
    if half:
        w = {n: v.half() if v.dtype == torch.float32 else v for n, v in w.items()}
    steps = [(step(n, small), [i for i in n.input if i], n.output[0]) for n in proto.node]
    known = {v.name for v in proto.input}

    def run(x):
        values = dict(w)
        values[next(iter(known))] = x
        for call, inputs, output in steps:
            values[output] = call(*(values[i] for i in inputs))
        return values[proto.output[0].name]

    shape = [d.dim_value for d in proto.input[0].type.tensor_type.shape.dim][1:]
    return run, shape


def timed(call, repeat=60):
    for _ in range(10):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeat):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) * 1e3)
    return statistics.median(times)


def both(run, x):
    eager = timed(lambda: run(x))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(x)
    return {"eager_us": eager, "graph_us": timed(graph.replay)}


def main(path, batches):
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rows = []
    with torch.inference_mode():
        for half in (False, True):
            run, shape = network(path, half)
            for batch in batches:
                x = torch.randn(batch, *shape, device="cuda", dtype=torch.half if half else None)
                row = {"precision": "fp16" if half else "fp32", "batch": batch}
                rows.append({**row, **both(run, x), "torch": torch.__version__})
    print(json.dumps(rows))


main(sys.argv[1], [int(b) for b in sys.argv[2:]])
