"""Reading and checking a file: the part that may crash, hang or eat memory, run in the child.

`judged` does everything once and gives back a skeleton that is known to be harmless, so that the
parent only parses kilobytes.
"""

from __future__ import annotations

import contextlib
import mmap
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto
from onnx.numpy_helper import from_array

from workbench.errors import ModelError
from workbench.model.checks.attributes import check_attributes
from workbench.model.checks.budget import check_bytes, check_count
from workbench.model.checks.external import DataFiles, mark_external
from workbench.model.checks.fitting import check_fit, specs_of
from workbench.model.checks.functions import check_functions
from workbench.model.checks.header import check_header, check_with_onnx, unknown_operators
from workbench.model.checks.interface import check_interface
from workbench.model.checks.scope import nodes_seen
from workbench.model.checks.structure import check_text, settle
from workbench.model.checks.tensors import check_sparse, check_tensor, located
from workbench.model.checks.values import odd_values
from workbench.model.infer import few_values, inferred, misfit
from workbench.model.limits import Limits
from workbench.model.payload import Filed, Held, Payload, array_of, mark_of, set_mark
from workbench.model.wire import INLINE_BYTES, Cut, WireError, skeleton_of
from workbench.text import shown


@dataclass(frozen=True, slots=True)
class Judged:
    """What the child found."""

    skeleton: bytes
    """The model without large payloads: checked, nodes named and sorted, types inferred."""
    cuts: tuple[Cut, ...]
    """Payloads in the model file."""
    files: dict[str, Filed] = field(default_factory=dict)
    """Mark -> payload in a data file."""
    held: dict[str, bytes] = field(default_factory=dict)
    """Mark -> payload that the file keeps as single numbers rather than raw bytes."""
    warnings: tuple[str, ...] = ()


def judged(
    given: str | bytes, folder: Path | None, limits: Limits, thorough: bool = True
) -> Judged:
    """Read and check a model.

    Args:
        given: absolute path of a regular file, or the bytes themselves.
        folder: where its external data lies, None if it may have none.
        limits: budgets.
        thorough: also run ONNX's checker and look through the weights.

    Raises:
        ModelError: whatever is wrong with it, without the file's name.
    """
    with _opened(given) as data:
        try:
            skeleton, cuts = skeleton_of(data, secrets.token_hex(8))
            model = onnx.ModelProto.FromString(skeleton)
        except WireError as error:
            raise ModelError(f"not an ONNX model: {error}") from error
        except Exception as error:  # protobuf's DecodeError; its base differs between releases
            raise ModelError(
                f"not an ONNX model: protobuf cannot read it ({shown(error)}); the file is "
                "damaged, or its messages are nested too deep"
            ) from error
        store: dict[str, Payload] = {
            cut.mark: Held(data[cut.offset : cut.offset + cut.length]) for cut in cuts
        }
        model, warnings = checked(model, store, folder, limits, thorough)
        files = {mark: item for mark, item in store.items() if isinstance(item, Filed)}
        in_file = {cut.mark for cut in cuts}
        held = {
            mark: bytes(item.view())
            for mark, item in store.items()
            if isinstance(item, Held) and mark not in in_file
        }
    return Judged(model.SerializeToString(), tuple(cuts), files, held, tuple(warnings))


def checked(
    model: onnx.ModelProto,
    store: dict[str, Payload],
    folder: Path | None,
    limits: Limits,
    thorough: bool,
) -> tuple[onnx.ModelProto, list[str]]:
    """The model settled and inferred, and warnings; external payloads are added to `store`."""
    check_header(model)
    check_count(model, limits)
    check_text(model)
    check_functions(model, limits)
    warnings = settle(model.graph, limits.nesting)
    # Version 3 wants every initializer among the inputs, where `settle` has taken them out.
    model.ir_version = max(model.ir_version, 4)
    _settle_tensors(model, store, folder, limits)
    warnings += check_interface(model.graph)
    check_attributes(model, store)
    unknown, words = unknown_operators(model)
    warnings += words
    if thorough:
        check_with_onnx(model, unknown)
    model, words = _inferred(model, store, limits)
    warnings += words
    if thorough:
        # Inference that has to be strict stops at operators nobody knows, which were told already.
        warnings += [] if unknown else misfit(model)
        warnings += odd_values(located(model), store, limits)
    return model, warnings


def _inferred(
    model: onnx.ModelProto, store: dict[str, Payload], limits: Limits
) -> tuple[onnx.ModelProto, list[str]]:
    """Types and shapes; first without following values, which a hostile file makes too many."""
    plain, warnings = inferred(model, values=False)
    _check_shapes(plain, store, limits)
    if not few_values(plain):
        return plain, [*warnings, "lists in it are too long to follow; some shapes stay unknown"]
    full, warnings = inferred(model)
    _check_shapes(full, store, limits)
    return full, warnings


def _check_shapes(model: onnx.ModelProto, store: dict[str, Payload], limits: Limits) -> None:
    nodes, specs = list(nodes_seen(model, store)), specs_of(model.graph)
    check_fit(nodes, specs)
    check_bytes(nodes, specs, limits)


def _settle_tensors(
    model: onnx.ModelProto, store: dict[str, Payload], folder: Path | None, limits: Limits
) -> None:
    """Check every stored tensor; external ones and long lists of numbers go to the store."""
    files = DataFiles(folder, limits)
    token = secrets.token_hex(8)
    for place in located(model):
        tensor = place.tensor
        if tensor.data_location == TensorProto.EXTERNAL and mark_of(tensor) not in store:
            mark = f"#{token}/{len(store)}"
            store[mark] = mark_external(place, files, mark)
        check_tensor(place, store, limits)
        if mark_of(tensor) is None and _is_long(tensor):
            mark = f"#{token}/{len(store)}"
            store[mark] = Held(memoryview(from_array(array_of(tensor, store)).raw_data))
            set_mark(tensor, mark)
    check_sparse(model, store, limits)


def _is_long(tensor: TensorProto) -> bool:
    """Whether the tensor keeps many values as single numbers: those belong out of the skeleton."""
    return tensor.data_type != TensorProto.STRING and tensor.ByteSize() > INLINE_BYTES + 1024


@contextlib.contextmanager
def _opened(given: str | bytes) -> Iterator[memoryview]:
    if isinstance(given, bytes):
        yield memoryview(given)
        return
    with open(given, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Closed by the last reference: an exception on its way still holds slices of it.
    yield memoryview(mapped)
