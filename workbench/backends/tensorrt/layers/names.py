r"""The syntax of TensorRT's layer names and metadata, with no graph at hand.

A layer name is made of node names: ``a + b`` (fused), ``PWN(a, b)`` (pointwise), ``a || b``
(side by side), ``{ForeignNode[a...b]}`` (a region of which only the ends are told), inside
prefixes of helper layers and suffixes of the compiler. The metadata of TensorRT 8.6 and newer
lists node names one by one, ``[ONNX Layer: a]`` joined by U+001E or U+001F. Sources: files of 8.x,
10.x, 11.x and TensorRT-RTX.
"""

from __future__ import annotations

import re

_PROFILE = re.compile(r" \[profile (\d+)\]")
_ONNX = re.compile(r"\](?:__\w+)?[\x1e\x1f]+\[ONNX Layer: ")
_OPENING = "[ONNX Layer: "
_CLOSING = re.compile(r"\](?:__\w+)?$")  # TensorRT-RTX adds "__gemm_from_conv1x1"
_REGION = "{ForeignNode["
_PREFIX = re.compile(
    r"(?:Reformatting CopyNode for (?:Input|Output) Tensor \d+ to |copied_"
    r"|(?:un)?squeeze_(?:node_)?(?:after|before)_|reshape_(?:after|before)_"
    r"|shuffle_(?:after|before|between)_)"
)
_SUFFIX = re.compile(
    r"(?:_myl\d+_\d+|_clone_\d+|_(?:de)?quantize_scale_node| copy"
    r"| (?:input|output) reformatter \d+)$"
)
_COMPILED = re.compile(r"__mye\d|__myln?_|\$\$myelin\$\$")
_UNNAMED = re.compile(r"\(Unnamed Layer\* ?\d+\) \[\w+\](?:_output)?")
_WEIGHT = re.compile(r"\.(?:weight|bias)$")


def metadata_names(metadata: str) -> tuple[str, ...]:
    r"""Names in ``[ONNX Layer: a]\x1f[ONNX Layer: b]``, each once, in order; may hold brackets."""
    text = metadata.strip("\x1e\x1f ")
    if not text.startswith(_OPENING):
        return ()
    text = _CLOSING.sub("", text[len(_OPENING) :])
    return tuple(dict.fromkeys(name for name in _ONNX.split(text) if name))


def profile_of(name: str) -> int:
    """Number of the optimization profile that a layer or tensor name carries, else 0."""
    found = _PROFILE.search(name)
    return int(found[1][:9]) if found else 0


def base_name(name: str) -> str:
    """The name as the first profile has it: without `` [profile k]``."""
    return _PROFILE.sub("", name)


def stripped(name: str) -> tuple[str, ...]:
    """The name, then the same without helper prefixes and compiler suffixes, longest first."""
    steps = [base_name(name)]
    while True:
        prefix, suffix = _PREFIX.match(steps[-1]), _SUFFIX.search(steps[-1])
        if prefix and prefix.end() < len(steps[-1]):
            steps.append(steps[-1][prefix.end() :])
        elif suffix and suffix.start():
            steps.append(steps[-1][: suffix.start()])
        else:
            return tuple(steps)


def without_prefix(name: str) -> str:
    """The name of the first profile without what marks a helper layer in front of it."""
    name = base_name(name)
    while (prefix := _PREFIX.match(name)) and prefix.end() < len(name):
        name = name[prefix.end() :]
    return name


def is_compiled(name: str) -> bool:
    """Whether the compiler made the name up (``__myl_MulSum_myl4_1``), so it tells no node."""
    return _COMPILED.search(name) is not None


def region(name: str) -> str | None:
    """The text between the brackets of ``{ForeignNode[...]}``, or None for other names."""
    if name.startswith(_REGION) and name.endswith("]}"):
        return name[len(_REGION) : -2]
    return None


def name_parts(name: str) -> tuple[str, ...]:
    """Node names by syntax alone: what stands between the joints, weights and helpers left out.

    Right for names without joints inside them; with the ONNX graph at hand `origin.Resolver` finds
    the others too. Of a region only the two ends are known.
    """
    if is_compiled(name):
        return ()
    text = stripped(name)[-1]
    inner = region(text)
    if inner is not None:
        pieces = [part for end in inner.split("...") for part in name_parts(end)]
    elif text.startswith("PWN(") and text.endswith(")"):
        pieces = [part for one in _top(text[4:-1], (", ", ",")) for part in name_parts(one)]
    else:
        pieces = [stripped(_unwrapped(one))[-1] for one in _top(text, (" + ", " || "))]
        if len(pieces) > 1 or pieces[0] != text:
            pieces = [part for one in pieces for part in name_parts(one)]
    return tuple(dict.fromkeys(one for one in pieces if one and not _made_up(one)))


def _made_up(name: str) -> bool:
    return bool(_UNNAMED.match(name) or _WEIGHT.search(name) or name.startswith("ONNXTRT_"))


def _unwrapped(name: str) -> str:
    """Without the brackets that group side-by-side parts: ``[a + b]`` is ``a + b``."""
    return name[1:-1] if len(name) > 2 and name[0] == "[" and name[-1] == "]" else name


def _top(text: str, joints: tuple[str, ...]) -> list[str]:
    """`text` cut at the joints that no bracket encloses; at every joint if brackets do not pair."""
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        joint = next((one for one in joints if text.startswith(one, i)), "") if depth == 0 else ""
        if joint:
            parts.append(text[start:i])
            start = i = i + len(joint)
        else:
            i += 1
    if depth:
        return re.split("|".join(map(re.escape, joints)), text)
    return [*parts, text[start:]]
