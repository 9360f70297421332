"""Types and shapes of every tensor: ONNX's own inference, reconciled with what is declared.

What the file declares of intermediate tensors and outputs is not believed where inference knows
better: a declared shape that conflicts is reported and the real one kept. What inference cannot
know (custom operators) is taken from the file.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from workbench.errors import ModelError
from workbench.model.plain import bodies_of, value_spec
from workbench.text import shown

_MOST_VALUES = 2_000_000
"""Elements of all lists in a model together, up to which their values are followed."""

Infos = dict[str, onnx.ValueInfoProto]


def inferred(model: onnx.ModelProto, *, values: bool = True) -> tuple[onnx.ModelProto, list[str]]:
    """The model with value-info entries for all tensors that inference reaches, and warnings.

    Args:
        model: a skeleton; left as it is.
        values: whether to follow the values of small whole-number tensors, which reshapes need.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    declared = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    _forget(bare.graph, keep=_uninferable(model))
    strange = _import_all(bare)
    found = _run(bare, values)
    warnings = _reconcile(found, declared)
    if warnings is None:  # the file knew more than inference: let that spread
        found = _run(found, values)
        warnings = _reconcile(found, declared) or []
    kept = [item for item in found.opset_import if item.domain not in strange]
    if strange:
        del found.opset_import[:]
        found.opset_import.extend(kept)
    return found, warnings


def _import_all(model: onnx.ModelProto) -> set[str]:
    """Import the domains of nodes that forgot to, which inference insists on; their names."""
    imported = {item.domain for item in model.opset_import}
    strange: set[str] = set()
    todo = [*model.graph.node]
    while todo:
        node = todo.pop()
        if node.domain and node.domain not in imported:
            strange.add(node.domain)
        if node.attribute:
            todo.extend(inner for body in bodies_of(node) for inner in body.node)
    strange.discard("ai.onnx")
    for domain in sorted(strange):
        model.opset_import.add(domain=domain, version=1)
    return strange


def _run(model: onnx.ModelProto, values: bool) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=values)
    except MemoryError as error:
        raise ModelError(
            "shape inference ran out of memory; if the file is trusted, allow more with "
            "Limits(memory_bytes=...)"
        ) from error
    except Exception as error:
        words = shown(str(error).strip().splitlines()[-1] if str(error).strip() else error, 300)
        raise ModelError(f"shape inference refused the model: {words}; export it anew") from error


def misfit(model: onnx.ModelProto) -> list[str]:
    """A warning where inputs and attributes of a node cannot go together, in ONNX's own words.

    Backends refuse such a network. It can be looked at all the same, and inference itself is not
    always right, so this is no error.
    """
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=few_values(model))
    except Exception as error:
        words = str(error).strip().removeprefix("[ShapeInferenceError] Inference error(s): ")
        return [f"shapes that cannot be, which no backend may take: {shown(words, 300)}"]
    return []


def few_values(model: onnx.ModelProto) -> bool:
    """Whether following values is cheap: inference keeps every element of every list it meets."""
    total = 0
    for info in model.graph.value_info:
        dims = info.type.tensor_type.shape.dim if info.type.HasField("tensor_type") else ()
        if len(dims) == 1:
            total += dims[0].dim_value
    return total <= _MOST_VALUES


def _uninferable(model: onnx.ModelProto) -> set[str]:
    """Outputs of nodes that ONNX has no inference for."""
    versions = {item.domain: item.version for item in model.opset_import}
    functions = {(item.domain, item.name) for item in model.functions}
    known: dict[tuple[str, str], bool] = {}
    tensors: set[str] = set()
    for node in model.graph.node:
        key = node.domain, node.op_type
        if key not in known:
            known[key] = key in functions or _has_inference(*key, versions)
        if not known[key]:
            tensors.update(node.output)
    return tensors


def _has_inference(domain: str, op_type: str, versions: dict[str, int]) -> bool:
    domain = "" if domain == "ai.onnx" else domain
    version = versions.get(domain) or versions.get(domain or "ai.onnx")
    if version is None or not onnx.defs.has(op_type, version, domain):
        return False
    schema = onnx.defs.get_schema(op_type, version, domain)
    inferring = schema.has_type_and_shape_inference_function
    return inferring or schema.has_function  # pyright: ignore[reportAttributeAccessIssue]


def _forget(graph: onnx.GraphProto, keep: set[str]) -> None:
    kept = [info for info in graph.value_info if info.name in keep]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for output in graph.output:
        if output.name not in keep and output.type.WhichOneof("value") in (None, "tensor_type"):
            output.ClearField("type")


def _reconcile(model: onnx.ModelProto, declared: Infos) -> list[str] | None:
    """Fill what inference left open from the declared entries; None if that added something.

    Conflicts are returned as warnings; the inferred type stands.
    """
    graph = model.graph
    # Tensors of bodies and outputs may be listed too; each name is settled once.
    entries = {info.name: info for info in (*graph.value_info, *graph.output)}
    warnings: list[str] = []
    added = False
    for name, wish in declared.items():
        info = entries.get(name)
        if info is None:
            graph.value_info.add().CopyFrom(wish)
            added = True
        elif info.type.WhichOneof("value") is None:
            info.type.CopyFrom(wish.type)
            added = added or wish.type.WhichOneof("value") is not None
        else:
            gained, conflict = _merge(info, wish)
            added = added or gained
            if conflict:
                warnings.append(conflict)
    return None if added else warnings


def _merge(info: onnx.ValueInfoProto, wish: onnx.ValueInfoProto) -> tuple[bool, str]:
    """Whether `info` gained an extent or a rank from `wish`, and what conflicts, if anything."""
    if info.type.WhichOneof("value") != "tensor_type":
        return False, ""
    if wish.type.WhichOneof("value") is None:
        return False, ""
    real, said = value_spec(info), value_spec(wish)
    conflict = (
        f"tensor {shown(info.name)} is declared {_words(said.dtype, said.shape)} but is "
        f"{_words(real.dtype, real.shape)}; the real one is used"
    )
    if said.dtype and real.dtype and said.dtype != real.dtype:
        return False, conflict
    mine, theirs = info.type.tensor_type, wish.type.tensor_type
    if not theirs.HasField("shape"):
        return False, ""
    if not mine.HasField("shape"):
        mine.shape.CopyFrom(theirs.shape)
        return True, ""
    if len(mine.shape.dim) != len(theirs.shape.dim):
        return False, conflict
    gained = False
    for have, given in zip(mine.shape.dim, theirs.shape.dim, strict=True):
        if have.HasField("dim_value"):
            if given.HasField("dim_value") and have.dim_value != given.dim_value:
                return gained, conflict
        elif given.HasField("dim_value") or _names_more(have, given):
            have.CopyFrom(given)
            gained = True
    return gained, ""


def _names_more(
    have: onnx.TensorShapeProto.Dimension, given: onnx.TensorShapeProto.Dimension
) -> bool:
    """Whether a declared name is better than none or than one that inference made up."""
    made_up = not have.dim_param or have.dim_param.startswith("unk__")
    return made_up and bool(given.dim_param) and given.dim_param != have.dim_param


def _words(dtype: str, shape: Iterable[int | str] | None) -> str:
    extents = "of unknown rank" if shape is None else shown(list(shape))
    return f"{dtype or 'of unknown type'} {extents}"
