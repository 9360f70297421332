"""The restrictions of the operator tables that can be checked on a graph, one small rule each.

A rule belongs to a phrase of the tables and is used only for the versions whose table has the
phrase. It looks at attributes, shapes, types and small constants; what it cannot see (an extent or
a value that is known only at run time) it lets pass, unless the phrase is about just that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Code

_SMALL_BYTES = 8 * 1024 * 1024
_ATTRIBUTE, _DYNAMIC, _TYPE = Code.UNSUPPORTED_ATTRIBUTE, Code.DYNAMIC_SHAPE, Code.UNSUPPORTED_TYPE


@dataclass(frozen=True)
class Scope:
    """A graph, or the body of a node, with what is known of its tensors."""

    graph: Graph
    values: Callable[[str], np.ndarray | None]
    """Tensor name -> value, of a constant stored with the main graph; None for any other."""
    around: Scope | None = None
    """The graph that a body lies in."""

    def spec(self, tensor: str) -> TensorSpec:
        """What is known of a tensor, here or in a graph around."""
        found = self.graph.spec(tensor)
        return self.around.spec(tensor) if self.around and not found.dtype else found

    def rank(self, node: Node, index: int) -> int | None:
        """Rank of an input, None where it is not known."""
        if index >= len(node.inputs):
            return None
        shape = self.spec(node.inputs[index]).shape
        return None if shape is None else len(shape)

    def has(self, node: Node, index: int) -> bool:
        """Whether a node has this input."""
        return index < len(node.inputs) and bool(node.inputs[index])

    def constant(self, node: Node, index: int) -> bool:
        """Whether an input is left out or computed from constants and fixed shapes alone."""
        return not self.has(node, index) or self._is_constant(node.inputs[index])

    def value(self, node: Node, index: int) -> np.ndarray | None:
        """The value of an input that is a stored constant of a few megabytes at most."""
        found = self.values(node.inputs[index]) if self.has(node, index) else None
        return None if found is None or found.nbytes > _SMALL_BYTES else found

    def _is_constant(self, tensor: str) -> bool:
        around = self.around is not None and self.around._is_constant(tensor)
        return around or tensor in self._constants

    @cached_property
    def _constants(self) -> frozenset[str]:
        known = {spec.name for spec in self.graph.initializers}
        for place in self.graph.order:
            node = self.graph.nodes[place]
            fixed_shape = node.op_type == "Shape" and self.spec(node.inputs[0]).elements is not None
            if fixed_shape or known.issuperset(node.reads):
                known.update(node.makes)
        return frozenset(known)


Rule = Callable[[Scope, Node], bool]
"""Whether a node keeps to the restriction."""


@dataclass(frozen=True, slots=True)
class Check:
    """One restriction that can be checked."""

    phrase: str
    """Words of the tables it stands for."""
    operators: tuple[str, ...]
    """Operators it is about; empty for all that have the phrase."""
    code: Code
    keeps: Rule


def broken(scope: Scope, node: Node, restriction: str) -> Check | None:
    """The first restriction in a table's text that the node breaks, None if it breaks none."""
    for check in CHECKS:
        if check.operators and node.op_type not in check.operators:
            continue
        if check.phrase in restriction and not check.keeps(scope, node):
            return check
    return None


def _attribute(node: Node, name: str, default: Any) -> Any:
    value = node.attributes.get(name, default)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is(name: str, default: Any, *allowed: Any) -> Rule:
    return lambda scope, node: _attribute(node, name, default) in allowed


def _fixed(*indices: int) -> Rule:
    return lambda scope, node: all(scope.constant(node, index) for index in indices)


def _rank_in(*ranks: int, index: int = 0) -> Rule:
    return lambda scope, node: scope.rank(node, index) in (None, *ranks)


def _one_output(scope: Scope, node: Node) -> bool:
    return not any(node.outputs[1:])


def _flat(scope: Scope, node: Node) -> bool:
    return all(step == 1 for step in _attribute(node, "dilations", ()))


def _zero_point(scope: Scope, node: Node) -> bool:
    value = scope.value(node, 2)
    return value is None or not np.any(value.astype(np.float32))


def _not_training(scope: Scope, node: Node) -> bool:
    value = scope.value(node, 2)
    return scope.constant(node, 2) and (value is None or not np.any(value))


def _axis_is_static(scope: Scope, node: Node) -> bool:
    shape = scope.spec(node.inputs[0]).shape
    axis = _attribute(node, "axis", -1)
    return shape is None or not -len(shape) <= axis < len(shape) or isinstance(shape[axis], int)


def _is_static(scope: Scope, node: Node) -> bool:
    shape = scope.spec(node.inputs[0]).shape
    return shape is None or all(isinstance(dim, int) for dim in shape)


def _same_directions(scope: Scope, node: Node) -> bool:
    names = _attribute(node, "activations", ())
    middle = len(names) // 2
    bidirectional = _attribute(node, "direction", "forward") == "bidirectional"
    return not bidirectional or list(names[:middle]) == list(names[middle:])


def _all_axes(scope: Scope, node: Node) -> bool:
    axes, rank = _attribute(node, "axes", None), scope.rank(node, 0)
    return axes is None or rank is None or [axis % rank for axis in axes] == list(range(rank))


def _few(scope: Scope, node: Node) -> bool:
    value = scope.value(node, 1)
    return value is None or value.size != 1 or int(value.reshape(())) < 3840


def _plain_einsum(scope: Scope, node: Node) -> bool:
    equation = str(_attribute(node, "equation", ""))
    terms = equation.split("->")[0].split(",")
    letters = [[letter for letter in term if letter.isalpha()] for term in terms]
    return "." not in equation and all(len(set(term)) == len(term) for term in letters)


def _no_text(scope: Scope, node: Node) -> bool:
    return node.attributes.keys().isdisjoint(("sparse_value", "value_string", "value_strings"))


def _positions(scope: Scope, node: Node) -> bool:
    return not scope.has(node, 3) or scope.spec(node.inputs[3]).dtype in ("", "int64")


def _no_cache(scope: Scope, node: Node) -> bool:
    return not any(scope.has(node, index) for index in (4, 5, 6))


def _even_pads(scope: Scope, node: Node) -> bool:
    pads = list(_attribute(node, "pads", ()))
    return pads[: len(pads) // 2] == pads[len(pads) // 2 :]


_AXES_OF = {"Slice": 3, "Pad": 3}


def _axes(scope: Scope, node: Node) -> bool:
    return scope.constant(node, _AXES_OF.get(node.op_type, 1))


_MODES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
_COORDINATES = "coordinate modes: half_pixel"

CHECKS = (
    Check("pooling over 2 or 3 spatial dims only", (), _ATTRIBUTE, _rank_in(4, 5)),
    Check("no Indices output", (), _ATTRIBUTE, _one_output),
    Check("dilations: none or all 1", (), _ATTRIBUTE, _flat),
    Check("zero point must be 0", (), _ATTRIBUTE, _zero_point),
    Check("axis must be constant", ("CumSum",), _ATTRIBUTE, _axes),
    Check("axes must be constant", (), _ATTRIBUTE, _axes),
    Check("axes must resolve to a constant", (), _ATTRIBUTE, _axes),
    Check("depth constant at build time", ("OneHot",), _ATTRIBUTE, _fixed(1)),
    Check("training mode must be a constant False", ("Dropout",), _ATTRIBUTE, _not_training),
    Check("must be an initializer and evaluate to False", ("Dropout",), _ATTRIBUTE, _not_training),
    Check("size of the axis dim constant at build time", ("Hardmax",), _DYNAMIC, _axis_is_static),
    Check("static input dims", ("EyeLike",), _DYNAMIC, _is_static),
    Check("4-D input only", ("GridSample",), _ATTRIBUTE, _rank_in(4)),
    Check(_COORDINATES, (), _ATTRIBUTE,
          _is("coordinate_transformation_mode", "half_pixel", *_MODES)),
    Check("modes: nearest, linear", ("Resize",), _ATTRIBUTE,
          _is("mode", "nearest", "nearest", "linear")),
    Check("aspect policy stretch only", (), _ATTRIBUTE,
          _is("keep_aspect_ratio_policy", "stretch", "stretch")),
    Check("scales as tensor input needs axes 0..rank-1", (), _ATTRIBUTE, _all_axes),
    Check("no antialias", (), _ATTRIBUTE, _is("antialias", 0, 0)),
    Check("no reduction", ("ScatterND",), _ATTRIBUTE, _is("reduction", "none", "none")),
    Check("reduction: none only", ("ScatterND",), _ATTRIBUTE, _is("reduction", "none", "none")),
    Check("same activations in both directions", (), _ATTRIBUTE, _same_directions),
    Check("input_forget 0", (), _ATTRIBUTE, _is("input_forget", 0, 0)),
    Check("layout 0", (), _ATTRIBUTE, _is("layout", 0, 0)),
    Check("only output Y", (), _ATTRIBUTE, _one_output),
    Check("no sparse_value, value_string, value_strings", (), _TYPE, _no_text),
    Check("sorted must be 1", (), _ATTRIBUTE, _is("sorted", 1, 1)),
    Check("K < 3840", (), _ATTRIBUTE, _few),
    Check("Ellipsis and diagonal operations are not supported", (), _ATTRIBUTE, _plain_einsum),
    Check("position_ids must be INT64", (), _TYPE, _positions),
    Check("no past_key/past_value/nonpad_kv_seqlen", (), _ATTRIBUTE, _no_cache),
    Check("Q, K, V, attn_mask 4-D", (), _ATTRIBUTE, _rank_in(4)),
    Check("only the first output", ("Attention",), _ATTRIBUTE, _one_output),
    Check("no softcap", (), _ATTRIBUTE, _is("softcap", 0.0, 0.0)),
    Check("past_cache, update 4-D", (), _ATTRIBUTE, _rank_in(4)),
    Check("axis -2", ("TensorScatter",), _ATTRIBUTE, _is("axis", -2, -2, 2)),
    Check("frame_step and window constant", (), _ATTRIBUTE, _fixed(1, 2)),
    Check("1 or 2 spatial dims", ("DeformConv",), _ATTRIBUTE, _rank_in(3, 4)),
    Check("symmetric pads", ("DeformConv",), _ATTRIBUTE, _even_pads),
)  # fmt: skip
"""Every restriction that is checked; the words are the tables'."""
