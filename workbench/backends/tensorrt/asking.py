"""Runs in a child process: puts pieces of a model to TensorRT's parser and notes its answers.

One network and one parser for every question, because a yes fills the network. Knows nothing of
models, only their bytes; imports nothing heavy but TensorRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from workbench.backends.tensorrt import adapter


@dataclass(frozen=True, slots=True)
class Complaint:
    """One error of the parser, in its words."""

    code: str
    """Name of its error code, e.g. ``UNSUPPORTED_NODE``."""
    text: str
    """Its description; often a C++ assertion, sometimes just ``false``."""
    node: int = -1
    """Place of the node in the piece; below 0 for an error of no node."""
    operator: str = ""
    """Operator it names: of a node inside a body, where the fault is there."""
    name: str = ""
    """Name of the node it names."""
    stack: tuple[str, ...] = ()
    """Path from the outer node to the one inside: ``("cond (If)", "then (then_branch)")``."""
    place: str = ""
    """File of TensorRT's it comes from; for an input it cannot take, the input's name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the parser said about one piece."""

    taken: bool
    candidates: tuple[tuple[int, ...], ...] = ()
    """Runs of nodes it did not fault, by place; not confirmed. Empty where all is taken."""
    complaints: tuple[Complaint, ...] = ()
    died: str = ""
    """Set where the parser did not survive the piece: how it ended."""


@cache
def _toolbox(package: str) -> tuple[Any, Any, Any]:
    trt = adapter.module(package)
    log = adapter.logger(trt, keep=())
    return trt, log, trt.Builder(log)


def ask(package: str, pieces: Sequence[bytes], path: str) -> list[Answer]:
    """An answer for each piece.

    Args:
        package: importable name of the TensorRT to ask.
        pieces: serialized ONNX models.
        path: where the models would lie; files of external weights are looked up beside it.
    """
    return [_ask_one(package, piece, path) for piece in pieces]


def known_operators(package: str, names: Sequence[str]) -> frozenset[str]:
    """Those of the operators that the parser knows by name, whatever their types."""
    trt, log, builder = _toolbox(package)
    parser = trt.OnnxParser(adapter.network(trt, builder), log)
    return frozenset(name for name in names if parser.supports_operator(name))


def _ask_one(package: str, piece: bytes, path: str) -> Answer:
    trt, log, builder = _toolbox(package)
    network = adapter.network(trt, builder)
    parser = trt.OnnxParser(network, log)
    taken, candidates = _supports(parser, piece, path)
    if taken:
        return Answer(True)
    complaints = tuple(_complaint(parser.get_error(i)) for i in range(parser.num_errors))
    return Answer(False, candidates, complaints)


def _supports(parser: Any, piece: bytes, path: str) -> tuple[bool, tuple[tuple[int, ...], ...]]:
    if hasattr(parser, "supports_model_v2"):
        taken = parser.supports_model_v2(piece, path)
        runs = [parser.get_subgraph_nodes(i) for i in range(parser.num_subgraphs)]
    else:  # up to 10.0
        taken, lists = parser.supports_model(piece, path)
        runs = [nodes for nodes, _ in lists]
    return taken, tuple(tuple(run) for run in runs)


def _complaint(error: Any) -> Complaint:
    def said(method: str, default: Any = "") -> Any:
        return getattr(error, method)() if hasattr(error, method) else default

    return Complaint(
        error.code().name, error.desc(), error.node(), said("node_operator"), said("node_name"),
        tuple(said("local_function_stack", ())), said("file"),
    )  # fmt: skip
