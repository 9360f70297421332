"""`open`: a saved hybrid, checked before anything of it is used."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import backends
from workbench.backends.base import Backend, BuildConfig
from workbench.backends.records import ranges_from_json
from workbench.cache import container
from workbench.errors import BackendError, CacheError, ModelError, WorkbenchError
from workbench.hybrid.engine import Hybrid
from workbench.hybrid.files import FORMAT, KIND, MANIFEST, MODEL, PLANS, sealed, sha256_of
from workbench.hybrid.parts import PLAN, Part, PlannedEngine
from workbench.hybrid.record import graph_of, partition_of
from workbench.model import Model, load
from workbench.partitioning import Partition, Subgraph
from workbench.text import shown

_FILE = re.compile(rf"{re.escape(MODEL)}|model\.[0-9a-f]{{16}}\.data|{PLANS}/[0-9]+\.plan")
_AGAIN = "build the hybrid again and save it"

Manifest = Mapping[str, Any]


def open(
    path: str | os.PathLike[str], *, backend: Backend | None = None, native: Backend | None = None
) -> Hybrid:
    """The hybrid that `Hybrid.save` wrote, without the model and in any process.

    Every byte is checked first, and every plan against the backend that is here. Still, a plan is
    code of a kind: open only what you or somebody you trust saved.

    Args:
        path: the folder or file.
        backend: loads the plans; None takes the backend of the name in the manifest.
        native: runs the native regions; None likewise.

    Raises:
        ModelError: nothing is there, it is no hybrid, or it was damaged or edited; names what
            differs.
        BackendError: a plan is of another version or device than those here.
    """
    place = Path(path).expanduser().absolute()
    try:
        if place.is_dir():
            return _from_folder(place, backend, native)
        return _from_file(place, backend, native)
    except OSError as error:
        words = error.strerror or str(error)
        raise ModelError(f"cannot open the hybrid {shown(place)}: {words}") from error


def _from_folder(place: Path, backend: Backend | None, native: Backend | None) -> Hybrid:
    try:
        manifest = json.loads((place / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{shown(place)} is no hybrid: it has no {MANIFEST}") from None
    except ValueError as error:
        raise _refusal(place, f"its {MANIFEST} is no JSON ({shown(error)})") from error
    _check_manifest(place, manifest)
    for name, digest in manifest["files"].items():
        if not _FILE.fullmatch(name):
            raise _refusal(place, f"its manifest names a file {shown(name)}")
        file = place / name
        if file.is_symlink() or not file.is_file():
            raise _refusal(place, f"{name} is missing or is no regular file")
        if sha256_of(file) != digest:
            raise _refusal(place, f"{name} does not match its checksum")
    plans = {
        name: (place / name).read_bytes() for name in manifest["files"] if name.endswith(".plan")
    }
    saved = load(place / MODEL, name=manifest["model"], check=False)
    return _assembled(place, manifest, saved, plans, backend, native)


def _from_file(place: Path, backend: Backend | None, native: Backend | None) -> Hybrid:
    with place.open("rb") as file:
        try:
            record = container.read_record(file.fileno())
            if record.version != container.VERSION:
                raise CacheError(f"it has format {record.version}, not {container.VERSION}")
            _check_manifest(place, record.fields)
            blobs = {b.name: container.read_blob(file.fileno(), b) for b in record.blobs}
        except CacheError as error:
            raise _refusal(place, str(error)) from error
    if sorted(blobs) != sorted(record.fields["files"]):
        raise _refusal(place, "its files are not those of its manifest")
    saved = load(blobs.pop(MODEL), name=record.fields["model"], check=False)
    return _assembled(place, record.fields, saved, blobs, backend, native)


def _check_manifest(place: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise ModelError(f"{shown(place)} is no hybrid: its manifest says nothing of the kind")
    if manifest.get("format") != FORMAT:
        raise ModelError(
            f"hybrid {shown(place)} has format {shown(manifest.get('format'))}, this version reads "
            f"{FORMAT}; {_AGAIN}"
        )
    if manifest.get("sha256") != sealed(manifest):
        raise _refusal(place, f"its {MANIFEST} was edited: its own checksum does not match")


def _refusal(place: Path, words: str) -> ModelError:
    return ModelError(f"hybrid {shown(place)} is damaged or was edited: {words}; {_AGAIN}")


def _assembled(
    place: Path,
    manifest: Manifest,
    saved: Model,
    plans: Mapping[str, bytes],
    backend: Backend | None,
    native: Backend | None,
) -> Hybrid:
    try:
        partition = partition_of(manifest["partition"])
        config = BuildConfig(
            shapes=ranges_from_json(manifest["config"]["shapes"]),
            threads=manifest["config"]["threads"],
        )
        asked = {"engine": backend, "native": native}
        parts = tuple(
            _part(place, item, partition, saved, plans, asked[item["kind"]], config)
            for item in manifest["parts"]
        )
        constants = {name: saved.weights(name) for name in manifest["constants"]}
        decided = frozenset(manifest["decided"])
    except BackendError:
        raise
    except (WorkbenchError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _refusal(place, shown(error)) from error
    return Hybrid(
        saved, partition, parts, config=config, decided=decided, constants=constants, opened=True
    )


def _part(
    place: Path,
    item: Manifest,
    partition: Partition,
    saved: Model,
    plans: Mapping[str, bytes],
    asked: Backend | None,
    config: BuildConfig,
) -> Part:
    kind = item["kind"]
    held = partition.subgraphs if kind == "engine" else partition.native
    subgraph = held[item["index"]]
    by = asked if asked is not None else backends.get(item["backend"])
    mine = BuildConfig(shapes=ranges_from_json(item["ranges"]), threads=config.threads)
    if kind == "engine":
        _refuse_other(place, subgraph, item, by)
        blobs, piece = {PLAN: plans[item["plan"]]}, None
    else:
        blobs, piece = None, saved.extract(subgraph)
    specs = tuple(
        tuple(partition.graph.spec(name) for name in names)
        for names in (subgraph.inputs, subgraph.outputs)
    )
    engine = PlannedEngine(
        by, piece, graph_of(item["layers"]), specs=(specs[0], specs[1]), blobs=blobs, config=mine
    )
    return Part(kind, subgraph, engine, cached=True, note=item["note"])


def _refuse_other(place: Path, subgraph: Subgraph, item: Manifest, backend: Backend) -> None:
    """Refuse a plan of another backend, version or device before the backend sees it.

    Raises:
        BackendError: says what the plan is for and what is here.
    """
    there = (item["backend"], item["fingerprint"])
    here = (backend.name, backend.fingerprint())
    if there != here:
        raise BackendError(
            f"engine {subgraph.index} of hybrid {shown(place)} was built by {shown(there[0])} for "
            f"{shown(there[1], 300)}; here is {here[0]} for {shown(here[1], 300)}; {_AGAIN}",
            backend=backend.name,
        )
