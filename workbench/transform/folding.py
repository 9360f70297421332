"""Fewer nodes, the same function: batch normalization into the product before it, no-ops out.

Quantization needs this: a convolution in INT8 is fused with what follows only if no float
arithmetic of its own stands between. So do FP16 and BF16: engines fold too, and of factors that
were rounded before they make weights that are rounded twice. Weights are multiplied in float64 and
rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from workbench.graph import Node
from workbench.model import Draft, Model
from workbench.transform.values import Transformed, finished

_NO_OPS = frozenset({"Identity", "Dropout"})
_EPSILON = 1e-5
"""BatchNormalization's default epsilon, by ONNX's specification."""

_OUTPUT_AXIS: dict[str, Callable[[Node], int]] = {
    "Conv": lambda node: 0,
    "ConvTranspose": lambda node: 1,
    "Gemm": lambda node: 0 if node.attributes.get("transB", 0) else 1,
}


def fold_batch_norm(model: Model, types: Mapping[str, str] | None = None) -> Transformed:
    """The model with every BatchNormalization that follows a Conv, ConvTranspose or Gemm folded in.

    Folded are those in evaluation form whose product has stored weights and no other reader. The
    product keeps its name and takes over the name of the normalization's output tensor, so ranges
    taken on the model before still fit. The product's origin is both nodes.

    Exact up to one rounding of each weight and bias to float32.

    Args:
        model: the network.
        types: node -> type it is to be computed in; with it, only what is in there is folded, and
            only into a product of the same type.
    """
    draft, origin = Draft(model), {}
    for node in model.graph.nodes:
        if node.op_type == "BatchNormalization" and not node.domain:
            product = _product_before(draft, node)
            if product is None or (types is not None and not _alike(types, product, node)):
                continue
            if _fold(draft, product, node):
                origin[product.name] = (product.name, node.name)
    return finished(draft, origin)


def _alike(types: Mapping[str, str], product: Node, norm: Node) -> bool:
    return norm.name in types and types[norm.name] == types.get(product.name)


def _product_before(draft: Draft, norm: Node) -> Node | None:
    graph = draft.graph
    if norm.attributes.get("training_mode", 0) or len(norm.makes) != 1:
        return None
    place = graph.producer.get(norm.inputs[0])
    if place is None:
        return None
    product = graph.nodes[place]
    outputs = {spec.name for spec in graph.outputs}
    alone = graph.consumers[norm.inputs[0]] == (graph.position[norm.name],)
    fits = product.op_type in _OUTPUT_AXIS and not product.domain
    return product if fits and alone and norm.inputs[0] not in outputs else None


def _fold(draft: Draft, product: Node, norm: Node) -> bool:
    stored = [draft.values(name) for name in (product.inputs[1], *norm.inputs[1:5])]
    if any(array is None or array.dtype != np.float32 for array in stored):
        return False
    weight, gamma, beta, mean, variance = (np.asarray(a, np.float64) for a in stored)
    bias = _bias(draft, product)
    if bias is None or product.attributes.get("alpha", 1.0) != 1.0:
        return False
    factor = gamma / np.sqrt(variance + norm.attributes.get("epsilon", _EPSILON))
    per_output = _per_output(product, weight, factor)
    if per_output is None:
        return False
    with np.errstate(over="ignore"):
        folded = (weight * per_output).astype(np.float32)
        shift = ((bias - mean) * factor + beta).astype(np.float32)
    if not (np.isfinite(folded).all() and np.isfinite(shift).all()):
        return False
    names = (
        draft.store(f"{product.name}/folded_weight", folded),
        draft.store(f"{product.name}/folded_bias", shift),
    )
    draft.rewire(product.name, inputs=(product.inputs[0], *names), outputs=(norm.outputs[0],))
    del draft.nodes[norm.name]
    return True


def _bias(draft: Draft, product: Node) -> np.ndarray | None:
    """Bias in float64, zeros where there is none; None where it is not stored or is scaled."""
    if len(product.inputs) < 3 or not product.inputs[2]:
        return np.zeros(())
    bias = draft.values(product.inputs[2])
    plain = product.attributes.get("beta", 1.0) == 1.0
    return None if bias is None or bias.ndim > 1 or not plain else np.asarray(bias, np.float64)


def _per_output(product: Node, weight: np.ndarray, factor: np.ndarray) -> np.ndarray | None:
    """The factors shaped so that they multiply the weight's output channels."""
    axis = _OUTPUT_AXIS[product.op_type](product)
    if product.op_type == "ConvTranspose" and product.attributes.get("group", 1) > 1:
        # Axis 1 holds the outputs of one group, axis 0 the inputs of all.
        groups = product.attributes["group"]
        if factor.size != groups * weight.shape[1]:
            return None
        by_input = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        return by_input.reshape(*by_input.shape, *[1] * (weight.ndim - 2))
    if factor.size != weight.shape[axis]:
        return None
    return factor.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])


def clean(model: Model) -> Transformed:
    """The model without Identity and Dropout, which change nothing when a network is used.

    A no-op between an input and an output of the model stays, and so does a Dropout in training
    mode or one whose mask is read.
    """
    draft = Draft(model)
    graph = model.graph
    outputs = {spec.name for spec in graph.outputs}
    renamed: dict[str, str] = {}
    for i in graph.order:
        node = draft.nodes[graph.nodes[i].name]
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        draft.rewire(node.name, inputs=inputs)
        if _changes_nothing(draft, node) and node.outputs[0] not in outputs:
            renamed[node.outputs[0]] = inputs[0]
            del draft.nodes[node.name]
    return finished(draft, {})


def _changes_nothing(draft: Draft, node: Node) -> bool:
    if node.op_type not in _NO_OPS or node.domain or not node.inputs[0]:
        return False
    if node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
        training = draft.values(node.inputs[2])
        if training is None or bool(training):
            return False
    graph = draft.graph
    captured = any(
        node.outputs[0] in graph.nodes[j].captured for j in graph.consumers.get(node.outputs[0], ())
    )
    return not captured and not any(name in graph.consumers for name in node.makes[1:])
