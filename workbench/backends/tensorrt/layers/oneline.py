"""The engine inspector's text form: one line per layer after ``Layers:``.

Written by `get_engine_information(ONELINE)`, ``trtexec --dumpLayerInfo`` and, where a network is
built with detailed profiling verbosity, into TensorRT-RTX's verbose build log. Names stand in it
unescaped, line breaks included, so a field is found by the fields around it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from workbench.backends.tensorrt.layers.classify import made, with_profiles
from workbench.backends.tensorrt.layers.formats import dtype_of, layout_of, shape_of
from workbench.backends.tensorrt.layers.values import Binding, EngineLayers, Layer, LayerTensor
from workbench.errors import ModelError
from workbench.graph import Shape
from workbench.text import shown

LOG_LINE = re.compile(
    r"(?:\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] )?(?:\[(?:TRT|TensorRT)\] ?)?"
    r"\[(?:V|I|W|E|F|VERBOSE|INFO|WARNING|ERROR|INTERNAL_ERROR)\] ?|&&&& "
)
"""Start of a line of a log, by trtexec, TensorRT's samples or this package."""

_HEAD = re.compile(r", LayerType: ([\w ]*), Inputs: \[")
_DIMENSIONS = re.compile(r", (?:Location: (\w*), )?Dimensions: \[([-\d, ]*)\], ")
_KEY = re.compile(r"(?:^|, )([A-Z][A-Za-z0-9/ ]*): ?")
_INTEGERS = re.compile(r"-?\d{1,18}")
_RANGE = re.compile(r"MinShape: \[([-\d, ]*)\], OptShape: \[([-\d, ]*)\], MaxShape: \[([-\d, ]*)\]")
_SECTION = re.compile(r"(Bindings|I/O Tensors|Engine Metadata):\s*$")


def read_oneline(text: str, *, file: str = "") -> EngineLayers:
    """The engine of a text that starts with ``Layers:`` (a log prefix may stand before it).

    Raises:
        ModelError: no ``Layers:`` line, or a layer line that lacks its fields; the message has the
            line number.
    """
    where = file or "text"
    lines = lines_of(text)
    start = next((i for i, line in enumerate(lines) if line.rstrip().endswith("Layers:")), None)
    if start is None:
        raise ModelError(
            f"{shown(where)}: no line 'Layers:'; a list of layers was expected. Build with "
            "profiling_verbosity DETAILED and log at VERBOSE severity"
        )
    end = start + 1
    while end < len(lines) and not LOG_LINE.match(lines[end]):
        end += 1
    sections = _sections(lines[start + 1 : end])
    layers = with_profiles(
        _layer(record, f"{shown(where)}, line {start + 2 + at}")
        for at, record in _records(sections["Layers"])
    )
    newer = any("Constants: [" in line for line in sections["Layers"][:3])
    dated = any("Metadata:" in line for line in sections["Layers"][:3])
    return EngineLayers(
        "inspector text",
        layers,
        _bindings(sections, layers),
        form="11" if newer else "8.6-10" if dated else "8.2-8.5",
        file=file,
        facts={key: value for line in sections["Engine Metadata"] for key, value in _pair(line)},
    )


def lines_of(text: str) -> list[str]:
    r"""Lines of a text; unlike `str.splitlines` never cut at the U+001E inside metadata."""
    return text.replace("\r\n", "\n").split("\n")


def _sections(lines: list[str]) -> dict[str, list[str]]:
    """Lines by the heading they stand under; a blank line ends a list of bindings."""
    found: dict[str, list[str]] = {
        "Layers": [], "Bindings": [], "I/O Tensors": [], "Engine Metadata": []
    }  # fmt: skip
    at = "Layers"
    for line in lines:
        heading = _SECTION.match(line)
        if heading:
            at = heading[1]
        elif at == "":
            continue
        elif at != "Layers" and not line.strip() and found[at]:
            at = ""
        else:
            found[at].append(line)
    return found


def _records(lines: list[str]) -> list[tuple[int, str]]:
    """(line offset, text) of each layer; a line that starts none continues the one before."""
    found: list[tuple[int, list[str]]] = []
    for at, line in enumerate(lines):
        if line.startswith("Name: ") or (not found and line.strip()):
            found.append((at, [line]))
        elif found:
            found[-1][1].append(line)
    return [(at, "\n".join(record).rstrip("\n")) for at, record in found]


def _layer(record: str, where: str) -> Layer:
    head = _HEAD.search(record)
    if not record.startswith("Name: "):
        # LAYER_NAMES_ONLY writes the bare name.
        return made(record.strip(), "", (), ())
    if head is None:
        raise ModelError(
            f"{where}: expected 'Name: ..., LayerType: ..., Inputs: [...' and found "
            f"'{shown(record)}'; the file is cut or not written by TensorRT"
        )
    name, at = record[len("Name: ") : head.start()], head.end()
    lists: dict[str, tuple[LayerTensor, ...]] = {}
    lists["Inputs"], at = _tensors(record, at, where)
    for key in ("Constants", "Outputs"):
        opening = f", {key}: ["
        if record.startswith(opening, at):
            lists[key], at = _tensors(record, at + len(opening), where)
    rest = _rest(record[at:].removeprefix(", "))
    inputs, outputs = lists["Inputs"], lists.get("Outputs", ())
    return made(name, head[1], inputs, outputs, lists.get("Constants", ()), rest)


def _tensors(text: str, at: int, where: str) -> tuple[tuple[LayerTensor, ...], int]:
    """Tensors from `at`, just past the opening bracket, and the place past the closing one."""
    found: list[LayerTensor] = []
    while True:
        while text.startswith((" ", ","), at):
            at += 1
        if text.startswith("]", at):
            return tuple(found), at + 1
        middle = _DIMENSIONS.search(text, at)
        end = text.find(" }", middle.end()) if middle else -1
        if not text.startswith("{ Name: ", at) or middle is None or end < 0:
            raise ModelError(
                f"{where}: expected a tensor '{{ Name: ..., Dimensions: [...], ... }}' and found "
                f"'{shown(text[at : at + 200])}'; the file is cut or not written by TensorRT"
            )
        name = text[at + len("{ Name: ") : middle.start()]
        found.append(_tensor(name, middle[1] or "", integers(middle[2]), text[middle.end() : end]))
        at = end + 2


def _tensor(name: str, location: str, dims: Shape, rest: str) -> LayerTensor:
    fields = _rest(rest)
    both = str(fields.get("Format/Datatype", ""))
    words = str(fields.get("Format", both))
    dtype = dtype_of(str(fields.get("Datatype", both)))
    return LayerTensor(name, dtype, dims, words, layout_of(words), location)


def integers(text: str) -> Shape:
    """A shape from ``-1,3,64,64``."""
    return shape_of([int(number) for number in _INTEGERS.findall(text)])


def _rest(text: str) -> dict[str, Any]:
    """``Key: value`` pairs; the metadata comes last and may hold anything."""
    text, mark, metadata = _cut(text, "Metadata:")
    keys = list(_KEY.finditer(text))
    ends = [*(key.start() for key in keys), len(text)][1:]
    found = {key[1]: _value(text[key.end() : end]) for key, end in zip(keys, ends, strict=True)}
    return found | {"Metadata": metadata.removeprefix(" ")} if mark else found


def _cut(text: str, key: str) -> tuple[str, str, str]:
    if text.startswith(key):
        return "", key, text[len(key) :]
    return text.partition(f", {key}")


def _value(text: str) -> Any:
    """A number, list or object where the text is one in JSON, else the text."""
    text = text.strip()
    if text[:1] in tuple("-0123456789[{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _pair(line: str) -> list[tuple[str, str]]:
    key, mark, value = line.strip().partition(": ")
    return [(key, value)] if mark else []


def _bindings(sections: dict[str, list[str]], layers: tuple[Layer, ...]) -> tuple[Binding, ...]:
    listed = [_binding(line) for line in sections["I/O Tensors"] if line.strip()]
    return tuple(listed) or plain_bindings(
        [line for line in sections["Bindings"] if line.strip()], layers
    )


def _binding(line: str) -> Binding:
    name, _, rest = line.strip().removeprefix("Name: ").partition(", IOMode: ")
    head, _, shapes = rest.partition(", ProfileInfo: ")
    fields = _rest(f"IOMode: {head}")
    dims = fields.get("Dimensions")
    shape = shape_of(dims) if isinstance(dims, list) else None
    ranges = tuple((integers(a), integers(b), integers(c)) for a, b, c in _RANGE.findall(shapes))
    location = str(fields.get("Location", ""))
    dtype = dtype_of(str(fields.get("DataType", "")))
    return Binding(name, str(fields.get("IOMode", "")).lower(), dtype, shape, location, ranges)


def plain_bindings(names: list[str], layers: tuple[Layer, ...]) -> tuple[Binding, ...]:
    """Bindings of the first profile from a list of names alone.

    What some layer writes is an output, what is only read an input; the layers also tell type and
    shape.
    """
    read = {tensor.name: tensor for layer in layers for tensor in layer.inputs}
    written = {tensor.name: tensor for layer in layers for tensor in layer.outputs}
    found = []
    for name in dict.fromkeys(names):
        if " [profile " in name:
            continue
        tensor = written.get(name) or read.get(name) or LayerTensor(name)
        mode = "output" if name in written else "input" if name in read else ""
        found.append(Binding(name, mode, tensor.dtype, tensor.shape, tensor.location))
    return tuple(found)
