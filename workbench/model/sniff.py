"""What a file is, from its first bytes: nothing in it is parsed, unpickled or run."""

from __future__ import annotations

import re

HEAD_BYTES = 4096
"""How much of a file `kind_of` wants to see."""

_ASK = "give the .onnx file itself"
_TORCH = (
    "export it where it was made: torch.onnx.export(model, (example,), 'model.onnx', dynamo=True)"
)
_PADDLE = "export it with paddle2onnx (`paddle2onnx --model_dir DIR --save_file model.onnx`)"

_HYBRID = (
    "it is run with `workbench run` or opened with workbench.hybrid.open; here, give the .onnx "
    "file it was built from"
)
_OURS = re.compile(rb'"format": ?"(workbench [a-z ]+?)( 1)?"')

_MAGIC: tuple[tuple[bytes, int, str, str], ...] = (
    (b"version https://git-lfs", 0, "a git-lfs pointer", "run `git lfs pull` to get the real file"),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG image", _ASK),
    (b"\xff\xd8\xff", 0, "a JPEG image", _ASK),
    (b"GIF8", 0, "a GIF image", _ASK),
    (b"%PDF-", 0, "a PDF document", _ASK),
    (b"\x1f\x8b", 0, "gzip-compressed data", "unpack it first (`gunzip`)"),
    (b"\xfd7zXZ\x00", 0, "xz-compressed data", "unpack it first (`unxz`)"),
    (b"BZh", 0, "bzip2-compressed data", "unpack it first (`bunzip2`)"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd-compressed data", "unpack it first (`unzstd`)"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", "unpack it first, then load what is inside"),
    (b"ustar", 257, "a tar archive", "unpack it first, then load what is inside"),
    (b"\x7fELF", 0, "a program or shared library (ELF)", _ASK),
    (b"ORTM", 4, "an ONNX Runtime flatbuffer (.ort)", "load the ONNX file it was converted from"),
    (b"TFL3", 4, "a TensorFlow Lite model", "convert it with tf2onnx"),
    (b"\x89HDF\r\n\x1a\n", 0, "an HDF5 file (Keras?)", "convert it with tf2onnx"),
    (b"GGUF", 0, "a GGUF weights file", "it has weights but no graph; export the model to ONNX"),
    (b"vtrt", 0, "a TensorRT-RTX plan (a built engine)", "load the ONNX file it was built from"),
    (b"ftrt", 0, "a TensorRT plan (a built engine)", "load the ONNX file it was built from"),
    (b"\x89WBKEPT\n", 0, "a saved hybrid of the workbench", _HYBRID),
    (b"\x89WBPLAN\n", 0, "an engine's plan of the workbench",
     "load the ONNX file it was built from"),
    (b"\x93NUMPY", 0, "a NumPy array", _ASK),
    (b"\xef\xbb\xbf", 0, "a text file", _ASK),
)  # fmt: skip


def kind_of(head: bytes, suffix: str = "") -> tuple[str, str] | None:
    """What a file is that is no ONNX model, and what to do about it; None where it may be one.

    Args:
        head: the first `HEAD_BYTES` bytes of the file, or all of it if it is shorter.
        suffix: the end of its name, with the dot; only decides between kinds that look alike.
    """
    for magic, at, kind, remedy in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind, remedy
    return _zip(head) or _pickle(head) or _safetensors(head) or _text(head, suffix.lower())


def _zip(head: bytes) -> tuple[str, str] | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return None
    if b"data.pkl" in head or b"/version" in head or b"archive/" in head:
        return "a PyTorch checkpoint (a zip with pickled code, which is never run here)", _TORCH
    if b"serialized_exported_program" in head or b"archive_format" in head:
        return "a PyTorch exported program (.pt2)", _TORCH
    if b".npy" in head:
        return "a NumPy .npz archive", _ASK
    return "a zip archive", "unpack it first, then load the .onnx file inside"


def _pickle(head: bytes) -> tuple[str, str] | None:
    if len(head) > 2 and head[0] == 0x80 and head[1] in range(2, 6):
        # Torch's legacy format opens with the pickled magic number 0x1950a86a20f9469cfc6c.
        torch = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" in head
        what = "a PyTorch checkpoint" if torch else "a Python pickle"
        return f"{what} (pickled code, which is never run here)", _TORCH
    return None


def _safetensors(head: bytes) -> tuple[str, str] | None:
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        remedy = "it has weights but no graph; export the model to ONNX where it was made"
        return "a safetensors weights file", remedy
    return None


def _text(head: bytes, suffix: str) -> tuple[str, str] | None:
    """Text of some kind: it has no control characters but white space."""
    sample = head.lstrip()
    if not sample or any(byte < 9 or 13 < byte < 32 for byte in head[:512]):
        return _paddle(head, suffix)
    if ours := _OURS.search(head[:512]):
        return f"a {ours[1].decode()}", _ASK
    low = sample[:512].lower()
    if low.startswith((b"<!doctype html", b"<html")) or b"<html" in low:
        return (
            "an HTML page (a failed download?)",
            "download the file itself; a login may be needed",
        )
    if low.startswith((b"<?xml", b"<net")):
        return "an XML file (OpenVINO IR?)", "load the ONNX file it was converted from"
    if low[:1] in (b"{", b"["):
        if b"program" in low or suffix == ".json":
            return "a JSON file (a Paddle program?)", f"if it is a Paddle model, {_PADDLE}"
        return "a JSON file", _ASK
    if low.startswith((b"ir_version", b"graph {", b"opset_import")):
        remedy = "convert it with onnx.parser or google.protobuf.text_format"
        return "an ONNX model in text form", remedy
    return "a text file", _ASK


def _paddle(head: bytes, suffix: str) -> tuple[str, str] | None:
    if suffix in (".pdmodel", ".pdiparams", ".pdparams"):
        return f"a Paddle file ({suffix})", _PADDLE
    return None
