"""Calibration against ONNX Runtime's own calibrator: same network, pictures and tensors.

Each runs in a process of its own; seconds are of the processor, all threads together, and memory is
the largest resident set, of which the interpreter and libraries are told apart. Prints goals and
numbers; nothing here gates.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.bench

OPERATORS = ["Conv", "Gemm", "Add", "MaxPool", "GlobalAveragePool"]
PICTURES = {"minmax": 64, "entropy": 8}
"""ONNX Runtime's entropy calibrator keeps every activation, 113 MB a picture."""


def pictures(count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.standard_normal((1, 3, 224, 224), np.float32)


def peak() -> float:
    """Megabytes of memory this process had at most.

    Linux's resource usage would count what the parent had when it forked.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def ours(path: str, method: str, count: int, tensors: list[str] | None) -> Mapping[str, Any]:
    import onnxruntime  # noqa: F401 - counted among the libraries

    from workbench.calibrate import collect
    from workbench.model import load

    libraries = peak()
    model = load(path, check=False)
    bins = 0 if method == "minmax" else 2048
    table = collect(model, pictures(count), tensors=tensors, bins=bins).table(method)
    amax = {k: r.amax for k, r in table.ranges.items()}
    return {"tensors": len(table), "amax": amax, "libraries": libraries}


def ours_full(path: str, method: str, count: int) -> Mapping[str, Any]:
    """As `ours`, with histograms, after which every method is free, on the tensors we need."""
    from workbench.calibrate import METHODS, collect
    from workbench.model import load

    libraries = peak()
    found = collect(load(path, check=False), pictures(count))
    tables = [found.table(name) for name in METHODS]
    return {"tensors": len(tables[0]), "libraries": libraries}


def theirs(path: str, method: str, count: int, folder: str) -> Mapping[str, Any]:
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    libraries = peak()

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = pictures(count)

        def get_next(self) -> dict | None:
            picture = next(self.left, None)
            return None if picture is None else {"image": picture}

    kinds = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy}
    bins = {} if method == "minmax" else {"num_bins": 2048, "num_quantized_bins": 128}
    calibrator = create_calibrator(
        path, OPERATORS, f"{folder}/augmented.onnx", kinds[method],
        extra_options={**bins, "symmetric": True},
    )  # fmt: skip
    calibrator.collect_data(Reader())
    data = calibrator.compute_data().data
    ends = {k: np.abs([*np.ravel(v.lowest), *np.ravel(v.highest)]) for k, v in data.items()}
    amax = {k: float(both.max()) for k, both in ends.items()}
    return {"tensors": len(data), "names": list(data), "amax": amax, "libraries": libraries}


def child(run: str, arguments: list[Any]) -> None:
    call: Callable[..., Mapping[str, Any]] = globals()[run]
    begun = time.perf_counter()
    found = dict(call(*arguments))
    used = resource.getrusage(resource.RUSAGE_SELF)
    found["wall"] = time.perf_counter() - begun
    found["cpu"] = used.ru_utime + used.ru_stime
    found["peak"] = peak()
    print(json.dumps(found))


def measured(run: str, *arguments: Any) -> dict[str, Any]:
    code = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from {Path(__file__).stem} import child; child({run!r}, json.loads(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, json.dumps(arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_against_onnxruntime(tmp_path: Path):
    from workbench import zoo

    path = str(zoo.load("resnet50").save(tmp_path / "resnet50.onnx"))
    print("\nResNet-50, 224 x 224, random pictures; CPU seconds a picture, peak MB")
    for method, count in PICTURES.items():
        other = measured("theirs", path, method, count, str(tmp_path))
        names = [name for name in other["names"] if not name.endswith(("weight", "bias"))]
        mine = measured("ours", path, method, count, names)
        rows = {
            f"onnxruntime {method}": other,
            f"workbench {method}, same tensors": mine,
            f"workbench {method}, tensors needed": measured("ours", path, method, count, None),
        }
        if method == "entropy":
            rows["workbench, all five methods"] = measured("ours_full", path, method, count)
        for name, row in rows.items():
            print(
                f"  {name:36} {count:3} pictures {row['tensors']:4} tensors  "
                f"{row['cpu'] / count:7.3f} s  wall {row['wall']:6.1f} s  {row['peak']:6.0f} MB, "
                f"{row['libraries']:.0f} of it libraries"
            )
        shared = sorted(set(other["amax"]) & set(mine["amax"]))
        ratios = [mine["amax"][name] / other["amax"][name] for name in shared]
        faster = other["cpu"] / mine["cpu"]
        print(f"  {len(shared)} clips, ours over theirs: median {np.median(ratios):.4f}, "
              f"{min(ratios):.3f} to {max(ratios):.3f}")  # fmt: skip
        goal = 1 if method == "minmax" else 5
        print(f"  goal: {method} at least {goal} times as fast: {faster:.2f} times")
        print(f"  goal: at most half the peak memory: {mine['peak'] / other['peak']:.2f} of it")
        if method == "minmax":
            assert ratios == pytest.approx([1] * len(ratios), rel=1e-3)


@pytest.mark.slow
def test_memory_of_many_pictures(tmp_path: Path):
    """Constant in the number of pictures: what 48 need is what 500 need."""
    from workbench import zoo

    path = str(zoo.load("resnet50").save(tmp_path / "resnet50.onnx"))
    few, more = (measured("ours", path, "entropy", count, None) for count in (4, 48))
    print(f"\npeak memory with 4 pictures {few['peak']:.0f} MB, with 48 {more['peak']:.0f} MB; "
          "goal: 500 pictures in 1000 MB")  # fmt: skip
    print(f"  {more['cpu'] / 48:.3f} CPU s a picture")
