"""What goes wrong around builds of TensorRT-RTX: processes, cancelling, folders, libraries."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from workbench import hybrid, zoo
from workbench.backends.tensorrt import TensorRT, adapter
from workbench.cache import Cache, CacheWarning
from workbench.errors import CancelledError, MissingDependencyError
from workbench.progress import Cancel, Event

pytestmark = pytest.mark.skipif(
    "tensorrt_rtx" not in adapter.installed(), reason="tensorrt_rtx is not installed"
)
BUILD = """
import json, sys
from workbench import hybrid, zoo
from workbench.backends.tensorrt import TensorRT
from workbench.cache import Cache
from workbench.partitioning import partition
rtx = TensorRT("tensorrt_rtx")
model = zoo.load(sys.argv[2])
(spec,) = model.graph.inputs
model = model.with_shapes({spec.name: (1, *spec.shape[1:])})
def tell(event):
    print(event.phase, event.detail, flush=True)
built = hybrid.build(
    model, partition(model.graph, rtx.capability(model)), rtx, cache=Cache(sys.argv[1]),
    progress=tell,
)
print(json.dumps([part.cached for part in built.parts]), flush=True)
"""


@pytest.fixture
def rtx():
    with_parser = TensorRT("tensorrt_rtx")
    yield with_parser
    with_parser.close()


def started(cache: Path, place: Path, name: str = "resnet50") -> subprocess.Popen[str]:
    """A process that builds a network with this cache and this folder for temporary files."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(cache), name],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place), "OMP_NUM_THREADS": "1"},
    )


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            break
    return lines


def rest(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait() == 0
    return lines


@pytest.mark.slow
def test_two_processes_build_one_engine_once(tmp_path):
    both = [started(tmp_path / "cache", tmp_path) for _ in range(2)]
    told = [rest(process) for process in both]
    assert sorted(json.loads(lines[-1]) for lines in told) == [[False], [True]]
    assert len(list((tmp_path / "cache").glob("*.plan"))) == 1


@pytest.mark.slow
def test_a_build_that_was_killed_leaves_nothing_in_the_way(tmp_path):
    cache = tmp_path / "cache"
    process = started(cache, tmp_path)
    lines_until(process, "Building engine")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert not list(cache.glob("*.plan"))
    left = [path for path in tmp_path.glob("workbench-*") if (path / ".owner").exists()]
    assert left
    for path in left:
        os.utime(path / ".owner", (0, 0))
    again = rest(started(cache, tmp_path))
    assert json.loads(again[-1]) == [False]
    assert not any(line.startswith("wait") for line in again)
    assert not list(tmp_path.glob("workbench-*"))
    assert [path.suffix for path in cache.iterdir()] == [".plan"]


@pytest.mark.parametrize("phase", ["read", "parse", "build engine", "serialize"])
def test_a_cancelled_build_stops_at_once_twice_and_the_next_one_works(
    rtx, tmp_path, monkeypatch, phase
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model, cache = small(), Cache(tmp_path / "cache")
    for _ in range(2):
        cancel, at = Cancel(), []

        def tell(event: Event, cancel=cancel, at=at) -> None:
            if event.phase == phase and not at:
                at.append(time.monotonic())
                cancel.set()

        with pytest.raises(CancelledError):
            hybrid.build_engine(model, rtx, cache=cache, progress=tell, cancel=cancel)
        assert time.monotonic() - at[0] < 2
    assert not list(tmp_path.glob("workbench-*"))
    assert not list((tmp_path / "cache").glob("*"))
    assert hybrid.build_engine(model, rtx, cache=cache).has_plan


def small():
    model = zoo.load("digits_inception")
    (spec,) = model.graph.inputs
    return model.with_shapes({spec.name: (1, *spec.shape[1:])})


def test_a_cache_that_is_no_folder_costs_the_cache_and_not_the_build(rtx, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CacheWarning)
        built = hybrid.build_engine(small(), rtx, cache=Cache(tmp_path / "cache"))
    assert built.has_plan
    assert any("this is no folder; remove it" in str(one.message) for one in told)
    assert (tmp_path / "cache").read_text() == "in the way"


def broken(folder: Path, package: str, text: str) -> None:
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(text)


@pytest.mark.parametrize(
    ("package", "text", "words"),
    [
        ("tensorrt", "raise ImportError('libnvinfer.so.10: no such file')", "libnvinfer.so.10"),
        ("tensorrt", "raise OSError('libcudart.so.12: cannot open')", "libcudart.so.12"),
        ("tensorrt", "__version__ = '7.2.3.4'", r"TensorRT 7\.2\.3\.4, which is too old: 8\.6"),
    ],
)
def test_a_library_that_cannot_be_used_is_named_with_what_to_install(
    tmp_path, monkeypatch, package, text, words
):
    broken(tmp_path, package, text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(MissingDependencyError, match=f"{words}.*pip install tensorrt-rtx"):
        adapter.module(package)
    monkeypatch.delitem(sys.modules, package, raising=False)


def test_a_broken_library_beside_a_working_one_is_passed_over(tmp_path):
    broken(tmp_path, "tensorrt", "raise ImportError('libnvinfer.so.10: no such file')")
    code = "from workbench.backends.tensorrt import TensorRT; print(TensorRT().title)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("TensorRT-RTX")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (100, r"shows no GPU \(cuInit answers 100; CUDA_VISIBLE_DEVICES is ''\)"),
        (803, "of different versions; restart"),
        (804, "too old for the CUDA libraries here; update it"),
        (999, r"does not start \(cuInit answers 999"),
    ],
)
def test_a_driver_that_does_not_start_is_told_with_what_it_means(tmp_path, status, words):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a driver that fails")
    source = tmp_path / "driver.c"
    source.write_text(f"int cuInit(unsigned flags) {{ return {status}; }}\n")
    library = str(tmp_path / "libcuda.so.1")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    code = (
        "from workbench.backends import cuda, gpus\n"
        "print(cuda.why_not())\nprint(gpus.gpus()[1])\nprint(gpus.devices())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    one, other, devices = done.stdout.splitlines()
    assert re.search(words, one)
    assert one == other
    assert devices == "()"
