"""A hybrid as a folder or a single file, written whole or not at all.

It holds the network with `EPContext` nodes in the place of engines, the plan of each engine, and a
manifest with the checksum of every file, its own among them. A single file is a container
(`workbench.cache.container`) with the manifest as its fields and the files as its blobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.backends.records import ranges_to_json
from workbench.cache import container
from workbench.errors import CacheError, ModelError
from workbench.hybrid.record import graph_record, partition_record
from workbench.hybrid.skeleton import skeleton
from workbench.model import Model
from workbench.text import listed, shown

if TYPE_CHECKING:
    from workbench.hybrid.engine import Hybrid

KIND = "workbench hybrid"
FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
PLANS = "plans"
SUFFIX = ".hybrid"


def save(hybrid: Hybrid, path: Path) -> Path:
    """See `Hybrid.save`."""
    path = path.expanduser().absolute()
    refusal = _occupied(path)
    if refusal:
        raise ModelError(f"cannot save to {shown(path)}: {refusal}; choose another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == SUFFIX:
            _write_file(path, [packed(hybrid)])
        else:
            _write_folder(hybrid, path)
    except OSError as error:
        words = error.strerror or str(error)
        raise ModelError(f"cannot save to {shown(path)}: {words}; nothing was changed") from error
    return path


def packed(hybrid: Hybrid) -> bytes:
    """See `Hybrid.serialize`."""
    plans = _plan_places(hybrid)
    files = {MODEL: _skeleton(hybrid, plans).serialize()}
    for part in hybrid.parts:
        if part.name in plans:
            files[plans[part.name]] = part.engine.serialize()
    manifest = _manifest(hybrid, plans, {n: _sha256([data]) for n, data in files.items()})
    return b"".join(container.pack(manifest, files))


def sealed(manifest: Mapping[str, Any]) -> str:
    """Checksum of a manifest without its own field for it."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(container.canonical(content)).hexdigest()


def _skeleton(hybrid: Hybrid, plans: Mapping[str, str]) -> Model:
    if hybrid.opened:
        return hybrid.model
    return skeleton(hybrid.model, hybrid.parts, plans, hybrid.constants)


def _plan_places(hybrid: Hybrid) -> dict[str, str]:
    return {
        part.name: f"{PLANS}/{part.subgraph.index}.plan"
        for part in hybrid.parts
        if part.kind == "engine"
    }


def _manifest(hybrid: Hybrid, plans: Mapping[str, str], files: Mapping[str, str]) -> dict[str, Any]:
    config = hybrid.config
    manifest = {
        "kind": KIND,
        "format": FORMAT,
        "model": hybrid.model.name,
        "partition": partition_record(hybrid.partition),
        "parts": [
            {
                "kind": part.kind,
                "index": part.subgraph.index,
                "backend": part.engine.backend,
                "version": part.engine.version,
                "fingerprint": part.engine.fingerprint,
                "layers": graph_record(part.engine.layers()),
                "plan": plans.get(part.name),
                "ranges": ranges_to_json(part.engine.config.shapes),
                "note": part.note,
            }
            for part in hybrid.parts
        ],
        "config": {"shapes": ranges_to_json(config.shapes), "threads": config.threads},
        "decided": sorted(hybrid.decided),
        "constants": sorted(hybrid.constants),
        "files": dict(files),
    }
    return {**manifest, "sha256": sealed(manifest)}


def _write_folder(hybrid: Hybrid, path: Path) -> None:
    """Write beside the place and then change names, so that no half hybrid is ever there."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent))
    try:
        plans = _plan_places(hybrid)
        _skeleton(hybrid, plans).save(fresh / MODEL)
        (fresh / PLANS).mkdir()
        for part in hybrid.parts:
            if part.name in plans:
                _write_file(fresh / plans[part.name], [part.engine.serialize()])
        found = sorted(p.relative_to(fresh).as_posix() for p in fresh.rglob("*") if p.is_file())
        digests = {name: sha256_of(fresh / name) for name in found}
        manifest = _manifest(hybrid, plans, digests)
        _write_file(fresh / MANIFEST, [json.dumps(manifest, indent=1).encode()])
        fresh.chmod(0o777 & ~_umask())
        _exchange(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _exchange(fresh: Path, path: Path) -> None:
    old = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.old")
    replaced = path.exists()
    if replaced:
        path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        if replaced:
            old.rename(path)
        raise
    if replaced:
        shutil.rmtree(old, ignore_errors=True)


def _write_file(path: Path, pieces: Iterable[bytes]) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _occupied(path: Path) -> str:
    """Why a hybrid must not be written there, or ``""``: something else would be lost."""
    if not os.path.lexists(path):
        return ""
    if path.is_symlink():
        return "it is a symbolic link"
    if path.suffix == SUFFIX:
        return "" if _is_single_file(path) else "what is there is no hybrid"
    if not path.is_dir():
        return f"it is a file; a hybrid's single file ends in {SUFFIX}"
    there = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir()}
    if not there:
        return ""
    ours: set[str] = {MANIFEST}
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        manifest = json.loads((path / MANIFEST).read_bytes())
        if manifest.get("kind") == KIND:
            ours.update(manifest["files"])
    strange = sorted(there - ours) if len(ours) > 1 else sorted(there)
    return f"it holds {listed(strange)}, which no hybrid put there" if strange else ""


def _is_single_file(path: Path) -> bool:
    with contextlib.suppress(OSError, CacheError), path.open("rb") as file:
        return container.read_record(file.fileno()).fields.get("kind") == KIND
    return False


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(pieces: Iterable[bytes]) -> str:
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()
