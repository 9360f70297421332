"""Layers out of build logs: the inspector's list where there is one, else the engine summary.

With detailed profiling verbosity a verbose log has the list ``Layers:``; otherwise it has
``Engine Layer Information:`` with one ``Layer(Type): name, Tactic: ..., a (Float[..]) -> b`` each.
"""

from __future__ import annotations

import re
from dataclasses import replace

from workbench.backends.tensorrt.layers.classify import made, with_profiles
from workbench.backends.tensorrt.layers.formats import dtype_of
from workbench.backends.tensorrt.layers.oneline import (
    LOG_LINE,
    integers,
    lines_of,
    plain_bindings,
    read_oneline,
)
from workbench.backends.tensorrt.layers.values import EngineLayers, Layer, LayerTensor
from workbench.errors import ModelError
from workbench.text import shown

_LIST = re.compile(r"^(?:.{0,80}\] ?)?Layers:\s*$", re.M)
_SUMMARY = re.compile(r"^(?:.{0,80}\] ?)?Engine Layer Information:\s*$", re.M)
_LAYER = re.compile(r"Layer\((\w[\w ]*)\): ")
_TACTIC = re.compile(r", Tactic: ?(0x[0-9a-fA-F]+|-?\d+)(?: ?\([^)\n]{0,400}\))?, ?")
_TENSOR = re.compile(r" \(([\w/ ]+)\[([-\d, ]*)\]\)(?:, |$)")
_VERSION = re.compile(r"\[TensorRT v(\d{4,6})\]|TensorRT version: (\d+(?:\.\d+)+)")


def read_build_log(text: str, *, file: str = "") -> EngineLayers:
    """The layers of the engine that a verbose build log is about; of the last one if of several.

    Raises:
        ModelError: the log lists no layers, or the list is damaged; says which line, and how to
            log them.
    """
    engines = read_log_engines(text, file=file)
    if not engines:
        raise ModelError(
            f"{shown(file or 'build log')}: neither 'Layers:' nor 'Engine Layer Information:' in "
            f"{text.count(chr(10)) + 1} lines. Log at VERBOSE severity, and build with "
            "profiling_verbosity DETAILED to get every kernel"
        )
    return engines[-1]


def read_log_engines(text: str, *, file: str = "") -> tuple[EngineLayers, ...]:
    """Every engine a log lists, in order; summaries only where there is no detailed list."""
    version = version_in(text)
    starts = [found.start() for found in _LIST.finditer(text)]
    if starts:
        ends = [*starts[1:], len(text)]
        # Line numbers in errors count from the top of the file.
        engines = [
            read_oneline("\n" * text.count("\n", 0, start) + text[start:end], file=file)
            for start, end in zip(starts, ends, strict=True)
        ]
    else:
        engines = [_summary(text, found.end(), file) for found in _SUMMARY.finditer(text)]
    return tuple(replace(engine, version=version) for engine in engines)


def version_in(text: str) -> str:
    """TensorRT's version from trtexec's lines, ``v101601`` or ``TensorRT version: 10.16.1``."""
    found = _VERSION.search(text)
    if found is None:
        return ""
    return found[2] or dotted(int(found[1]))


def dotted(number: int) -> str:
    """``10.16.1`` for 101601 and ``8.6.1`` for 8601: the rule changed with version 10."""
    major = 10000 if number >= 100000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _summary(text: str, at: int, file: str) -> EngineLayers:
    layers: list[Layer] = []
    for line in lines_of(text[at:].lstrip("\r\n")):
        kind = _LAYER.match(line)
        if kind is None:
            if LOG_LINE.match(line) or not line.strip():
                break
            continue
        layers.append(_layer(kind[1], line[kind.end() :]))
    found = with_profiles(layers)
    made_here = {t.name for layer in found for t in layer.outputs}
    read = {t.name for layer in found for t in layer.inputs}
    ends = [t.name for layer in found for t in layer.inputs if t.name not in made_here]
    ends += [t.name for layer in found for t in layer.outputs if t.name not in read]
    return EngineLayers("build summary", found, plain_bindings(ends, found), file=file)


def _layer(kind: str, text: str) -> Layer:
    tactics = list(_TACTIC.finditer(text))
    if not tactics:
        return made(text.strip(), kind, (), ())
    tactic = tactics[-1]
    left, _, right = text[tactic.end() :].partition(" -> ")
    value = {"TacticValue": tactic[1]}
    return made(text[: tactic.start()], kind, _tensors(left), _tensors(right), (), value)


def _tensors(text: str) -> tuple[LayerTensor, ...]:
    found, start = [], 0
    for tensor in _TENSOR.finditer(text):
        dtype, dims = dtype_of(tensor[1]), integers(tensor[2])
        found.append(LayerTensor(text[start : tensor.start()], dtype, dims))
        start = tensor.end()
    return tuple(found)
