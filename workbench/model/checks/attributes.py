"""Attributes and constant inputs that no operator can mean: zero strides, two -1 in a reshape.

Libraries divide by these numbers without asking; some die of it. The rules need no shapes, so they
run before shape inference does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import AttributeProto

from workbench.errors import ModelError
from workbench.model.checks.scope import Seen, nodes_seen
from workbench.model.payload import Store, dtype_name
from workbench.text import shown

_LARGEST = (1 << 31) - 1

_FIELD = {
    AttributeProto.FLOAT: "f", AttributeProto.INT: "i", AttributeProto.STRING: "s",
    AttributeProto.TENSOR: "t", AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor", AttributeProto.TYPE_PROTO: "tp",
    AttributeProto.FLOATS: "floats", AttributeProto.INTS: "ints",
    AttributeProto.STRINGS: "strings", AttributeProto.TENSORS: "tensors",
    AttributeProto.GRAPHS: "graphs", AttributeProto.SPARSE_TENSORS: "sparse_tensors",
    AttributeProto.TYPE_PROTOS: "type_protos",
}  # fmt: skip

_BOUNDS: dict[str, tuple[int, int]] = {
    "strides": (1, _LARGEST), "dilations": (1, _LARGEST), "kernel_shape": (1, _LARGEST),
    "pads": (0, _LARGEST), "output_padding": (0, _LARGEST), "group": (1, _LARGEST),
    "output_shape": (0, _LARGEST), "blocksize": (1, 1 << 16), "num_groups": (1, _LARGEST),
    "hidden_size": (1, _LARGEST), "pooled_shape": (1, _LARGEST), "output_height": (1, _LARGEST),
    "output_width": (1, _LARGEST), "sampling_ratio": (0, _LARGEST), "offset_group": (1, _LARGEST),
    "num_outputs": (1, _LARGEST), "size": (1, _LARGEST),
}  # fmt: skip
"""Range of whole-number attributes by name, in operators that have them with this meaning."""

_BOUNDED = {
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "MaxPool",
         "AveragePool", "LpPool", "MaxUnpool"),
        ("strides", "dilations", "kernel_shape", "pads", "output_padding", "group",
         "output_shape", "offset_group"),
    ),
    "DepthToSpace": ("blocksize",), "SpaceToDepth": ("blocksize",),
    "GroupNormalization": ("num_groups",), "LRN": ("size",),
    "RNN": ("hidden_size",), "GRU": ("hidden_size",), "LSTM": ("hidden_size",),
    "MaxRoiPool": ("pooled_shape",), "Split": ("num_outputs",),
    "RoiAlign": ("output_height", "output_width", "sampling_ratio"),
}  # fmt: skip

_WINDOWED = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool"}
)
_PER_AXIS = {"strides": 1, "dilations": 1, "pads": 2, "output_padding": 1}
"""Numbers that a list of a window has for each axis it moves along."""

_WORDS = {
    ("auto_pad", _WINDOWED): ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    ("mode", frozenset({"Pad"})): ("constant", "reflect", "edge", "wrap"),
}


def check_attributes(model: onnx.ModelProto, store: Store) -> None:
    """Refuse impossible attributes and constant inputs of ONNX's own operators."""
    for seen in nodes_seen(model, store):
        if seen.node.attribute:
            _check_payloads(seen.node)
        if seen.native:
            _check_bounds(seen)
            _check_words(seen.node)
            if seen.node.op_type in _WINDOWED:
                _check_window(seen)
            rule = _RULES.get(seen.node.op_type)
            if rule is not None:
                rule(seen)


def refusal(node: onnx.NodeProto, what: str, remedy: str = "export the model anew") -> ModelError:
    """The error about a node."""
    name = shown(node.name) or "without a name"
    return ModelError(f"node {name} ({shown(node.op_type)}): {what}; {remedy}")


def _check_payloads(node: onnx.NodeProto) -> None:
    seen: set[str] = set()
    for item in node.attribute:
        if item.name in seen:
            raise refusal(node, f"attribute {shown(item.name)} is there twice", "keep one of them")
        seen.add(item.name)
        if item.ref_attr_name:
            continue
        right = _FIELD.get(item.type)
        if right is None:
            raise refusal(node, f"attribute {shown(item.name)} has type {item.type}, unknown here")
        filled = [field.name for field, _ in item.ListFields() if field.name in _FIELD.values()]
        if any(name != right for name in filled):
            raise refusal(
                node,
                f"attribute {shown(item.name)} should have one value, {right}, but has "
                f"{' and '.join(filled)}; readers would disagree on it",
            )
    if node.op_type == "Constant" and len(seen) != 1:
        raise refusal(node, f"a constant needs exactly one value but has {len(seen)}")


def _check_bounds(seen: Seen) -> None:
    names = _BOUNDED.get(seen.node.op_type, ())
    for item in seen.node.attribute:
        if item.name not in names:
            continue
        low, high = _BOUNDS[item.name]
        for value in item.ints if item.type == AttributeProto.INTS else (item.i,):
            if not low <= value <= high and not item.ref_attr_name:
                raise refusal(
                    seen.node,
                    f"attribute {item.name} has {value}; must be from {low} to {high}",
                )


def _check_words(node: onnx.NodeProto) -> None:
    for (name, operators), allowed in _WORDS.items():
        if node.op_type not in operators:
            continue
        for item in node.attribute:
            found = item.s.decode("utf-8", "replace")
            if item.name == name and not item.ref_attr_name and found not in allowed:
                raise refusal(
                    node, f"{name} is {shown(found)}; must be one of {', '.join(allowed)}"
                )


def _check_window(seen: Seen) -> None:
    """Lists of a convolution or pooling have as many numbers as its window has axes."""
    axes = _window_axes(seen)
    if axes is None:
        return
    for name, each in _PER_AXIS.items():
        given = ints_of(seen.node, name)
        if given is not None and len(given) != each * axes:
            raise refusal(
                seen.node,
                f"{name} has {len(given)} numbers; a window of {axes} axes needs {each * axes}",
            )


def ints_of(node: onnx.NodeProto, name: str) -> list[int] | None:
    """A whole-number attribute as a list, None where it is not there."""
    for item in node.attribute:
        if item.name == name and not item.ref_attr_name:
            return list(item.ints) if item.type == AttributeProto.INTS else [item.i]
    return None


def _window_axes(seen: Seen) -> int | None:
    kernel, weight = ints_of(seen.node, "kernel_shape"), _weight(seen)
    if kernel is not None:
        return len(kernel)
    return None if weight is None else len(weight.dims) - 2


def _weight(seen: Seen) -> onnx.TensorProto | None:
    return seen.stored(3 if seen.node.op_type == "QLinearConv" else 1)


def _conv(seen: Seen) -> None:
    weight = _weight(seen)
    if weight is None:
        return
    dims = list(weight.dims)
    kernel = ints_of(seen.node, "kernel_shape")
    if kernel is not None and kernel != dims[2:]:
        raise refusal(
            seen.node,
            f"kernel_shape is {kernel} but the weight {shown(weight.name)} has shape {dims}",
        )
    group = (ints_of(seen.node, "group") or [1])[0]
    if dims and group and dims[0] % group:
        raise refusal(
            seen.node, f"group is {group}, which does not divide the weight's extent {dims[0]}"
        )


def _reshape(seen: Seen) -> None:
    shape = seen.values(1) if seen.opset >= 5 else ints_of(seen.node, "shape")
    if shape is None:
        return
    extents = [int(value) for value in np.ravel(shape)]
    if extents.count(-1) > 1 or any(value < -1 for value in extents):
        raise refusal(
            seen.node,
            f"the new shape is {shown(extents)}; one extent may be -1, the others are 0 or more",
        )


def _transpose(seen: Seen) -> None:
    perm = ints_of(seen.node, "perm")
    if perm is not None and sorted(perm) != list(range(len(perm))):
        raise refusal(seen.node, f"perm is {shown(perm)}, which is no permutation of its axes")


def _slice(seen: Seen) -> None:
    steps = seen.values(4)
    if steps is not None and np.any(steps == 0):
        raise refusal(seen.node, "a step of 0 never ends")


def _resize(seen: Seen) -> None:
    place = 1 if seen.node.op_type == "Upsample" or seen.opset < 11 else 2
    scales = seen.values(place)
    if scales is not None and scales.dtype.kind == "f":
        bad = [float(value) for value in np.ravel(scales) if not 0 < value <= 1 << 20]
        if bad:
            raise refusal(
                seen.node, f"a scale is {bad[0]:g}; must be above 0 and at most {1 << 20}"
            )
    sizes = seen.values(3) if place == 2 else None
    if sizes is not None and np.any((np.ravel(sizes) < 1) | (np.ravel(sizes) > _LARGEST)):
        raise refusal(seen.node, f"sizes are {shown(list(sizes))}; each must be 1 or more")


def _split_to_sequence(seen: Seen) -> None:
    split = seen.values(1)
    if split is not None and np.any(split < (1 if split.ndim == 0 else 0)):
        raise refusal(seen.node, f"split is {shown(split.tolist())}; must be above 0")


def _split(seen: Seen) -> None:
    sizes = seen.values(1) if seen.opset >= 13 else ints_of(seen.node, "split")
    if sizes is not None and np.any(np.asarray(sizes) < 0):
        raise refusal(seen.node, f"split sizes are {shown(list(sizes))}; must be 0 or more")


def _divide(seen: Seen) -> None:
    divisor = seen.values(1)
    if divisor is None or divisor.dtype.kind not in "iu":
        return
    if np.any(divisor == 0):
        raise refusal(seen.node, "it divides whole numbers by a constant 0, which kills processes")
    value = seen.values(0)
    if value is not None and divisor.dtype.kind == "i" and np.any(divisor == -1):
        lowest = np.iinfo(divisor.dtype).min
        if value.dtype == divisor.dtype and np.any(value == lowest):
            raise refusal(seen.node, f"it divides {lowest} by -1, which does not fit its type")


def _range(seen: Seen) -> None:
    step = seen.values(2)
    if step is not None and step.dtype.kind in "iuf" and not np.all(step != 0):
        raise refusal(seen.node, "a step of 0 never ends")


def _transform(seen: Seen) -> None:
    length = seen.values(1)
    if length is not None and np.any(length < 1):
        what = "frame_step" if seen.node.op_type == "STFT" else "dft_length"
        raise refusal(seen.node, f"{what} is {shown(np.ravel(length).tolist())}; must be above 0")


def _cast(seen: Seen) -> None:
    to = ints_of(seen.node, "to")
    if to and not dtype_name(to[0]):
        raise refusal(seen.node, f"it casts to element type {to[0]}, which does not exist")


_RULES: dict[str, Callable[[Seen], None]] = {
    "Conv": _conv, "QLinearConv": _conv, "ConvInteger": _conv, "ConvTranspose": _conv,
    "Reshape": _reshape, "Transpose": _transpose, "Slice": _slice, "Resize": _resize,
    "Upsample": _resize, "SplitToSequence": _split_to_sequence, "Split": _split, "Div": _divide,
    "Mod": _divide, "Range": _range, "Cast": _cast, "DFT": _transform, "STFT": _transform,
}  # fmt: skip
