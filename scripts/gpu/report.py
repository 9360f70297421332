"""Fill the tables of docs/gpu/README.md from the records beside it, and draw its figures.

    python scripts/gpu/report.py [--check]

A table stands between ``<!-- NAME -->`` and ``<!-- end -->``; all other text is left alone.
With --check nothing is written; the status is 1 where the page is not what the records say.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "gpu"
PREFIX = "h200-tensorrt-8.6-"
INT8_RECORDS = ("visit2-int8-resnet50", "visit2-int8-mobilenet", "visit2-trained")
TITLES = {
    "resnet50": "ResNet-50", "mobilenet_v2": "MobileNet v2", "googlenet": "Inception v1",
    "digits_resnet": "digits, residual", "digits_inception": "digits, inception",
}  # fmt: skip
PRECISIONS = ("fp32", "fp16", "int8")
KINDS = {
    "convolutions": ("CaskConvolution", "CaskGemmConvolution", "CaskConvActPool"),
    "pooling": ("CaskPooling",),
    "changes of type and layout": ("Reformat",),
    "softmax": ("CaskSoftMaxV2",),
}
COLORS = {"fp32": "#0072B2", "fp16": "#E69F00", "int8": "#009E73"}
"""Okabe and Ito's, which are told apart with every kind of colour vision."""

Rows = list[dict[str, Any]]


def record(name: str) -> dict[str, Any]:
    """One record by its name without the common beginning."""
    return json.loads((FOLDER / f"{PREFIX}{name}.json").read_text())


def rows(table: str, records: Iterable[str]) -> Rows:
    """The rows of a table in several records, large networks first."""
    found = [row for name in records for row in record(name)["tables"].get(table, ())]
    return sorted(found, key=lambda row: (_place(row["network"]), _rank(row)))


def _place(network: str) -> int:
    return list(TITLES).index(network.partition(",")[0])


def _rank(row: dict[str, Any]) -> int:
    return PRECISIONS.index(row["precision"]) if "precision" in row else 0


def markdown(head: tuple[str, ...], lines: Iterable[Iterable[object]]) -> str:
    """A table; numbers to the right."""
    texts = [[str(cell) for cell in line] for line in lines]
    plain = r"[-+\d.,% ]*(to [\d.]+)?"
    right = [all(re.fullmatch(plain, line[i]) for line in texts) for i in range(len(head))]
    marks = ["---:" if one else "---" for one in right]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, marks, *texts))


def us(value: float) -> str:
    """Microseconds with three digits or more."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def latency() -> str:
    """TensorRT by precision, each network in one run."""
    head = (
        "network", "batch", "FP32", "FP16", "INT8", "FP32, graph", "FP16, graph", "INT8, graph",
        "gain FP16 to FP32", "INT8 to FP32", "INT8 to FP16",
    )  # fmt: skip
    lines = []
    for row in rows("int8 latency", INT8_RECORDS):
        plain = [row[f"{p}_us"] for p in PRECISIONS]
        graph = [row[f"{p}_graph_us"] for p in PRECISIONS]
        gains = (plain[0] / plain[1], plain[0] / plain[2], plain[1] / plain[2])
        cells = (*map(us, (*plain, *graph)), *(f"{gain:.2f}" for gain in gains))
        lines.append((TITLES[row["network"]], row["batch"], *cells))
    return markdown(head, lines)


def achieved() -> str:
    """What became of the wish for INT8, and what the engines are like."""
    head = (
        "network", "convolutions", "in INT8", "layers", "of which do your work", "as asked",
        "type not told", "plan in MB, FP32", "FP16", "INT8", "build in s, FP32", "FP16", "INT8",
    )  # fmt: skip
    builds = {(r["network"], r["precision"]): r for r in rows("builds", INT8_RECORDS)}
    lines = []
    for row in rows("int8", INT8_RECORDS):
        name, outcomes = row["network"], json.loads(row["outcomes"])
        others = [builds[name, p] for p in ("fp32", "fp16")]
        lines.append(
            (
                TITLES[name], row["convolutions"], row["convolutions_int8"], row["layers"],
                sum(outcomes.values()), outcomes.get("met", 0), outcomes.get("unknown", 0),
                *(f"{one['plan_bytes'] / 1e6:.1f}" for one in (*others, row)),
                *(f"{one['seconds']:.1f}" for one in (*others, row)),
            )
        )  # fmt: skip
    return markdown(head, lines)


def deviation() -> str:
    """Outputs against FP32 on the CPU."""
    head = (
        "network", "precision", "SNR in dB", "relative error", "largest, relative",
        "same largest output",
    )  # fmt: skip
    return markdown(
        head,
        (
            (
                TITLES[row["network"]], row["precision"].upper(), f"{row['snr_db']:.1f}",
                f"{row['relative_l2']:.4f}", f"{row['relative_max']:.4f}",
                f"{100 * row['agreement']:.0f} %",
            )
            for row in rows("deviation", INT8_RECORDS)
        ),
    )  # fmt: skip


def accuracy() -> str:
    """Top-1 of the trained networks."""
    lines = []
    for fact in record("visit2-trained")["tables"]["facts"]:
        words = fact["what"].removeprefix("top-1 of ").split()
        if words[0] in TITLES:
            noisy = words[0] == "digits_resnet" and "INT8" in words
            for which, share in json.loads(fact["value"]).items():
                engine = which.replace("onnxruntime cpu", "ONNX Runtime on the CPU,")
                engine = engine.replace("tensorrt", "TensorRT,").removesuffix(", as placed")
                engine = re.sub("fp32|fp16|int8", lambda found: found[0].upper(), engine)
                pictures = "3600, noisy" if noisy else "450, plain"
                lines.append((TITLES[words[0]], pictures, engine, f"{100 * share:.2f} %"))
    head = ("network", "pictures", "engine", "top-1")
    return markdown(head, sorted(dict.fromkeys(lines)))


def kinds() -> str:
    """Where the time goes, by kind of layer."""
    times: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows("layers", INT8_RECORDS):
        kind = next((k for k, types in KINDS.items() if row["type"] in types), "")
        if kind:
            times[row["network"], row["precision"]][kind].append(row["us"])
    lines = []
    for (name, precision), found in times.items():
        cells = [f"{us(sum(found[k]))} in {len(found[k])}" if k in found else "" for k in KINDS]
        lines.append((TITLES[name], precision.upper(), *cells))
    return markdown(("network", "precision", *KINDS), lines)


def losers() -> str:
    """Convolutions of the network that loses in INT8, beside the same in FP16."""
    found: dict[str, dict[str, float]] = {"int8": {}, "fp16": {}}
    for row in rows("layers", ("visit2-trained",)):
        products = [n for n in row["nodes"].split() if n.endswith(("/conv", "/fc"))]
        if products and row["precision"] in found and row["type"] in KINDS["convolutions"]:
            key = ", ".join(sorted(name.removesuffix("/conv") for name in products))
            found[row["precision"]][key] = row["us"]
    slow = sorted(found["int8"].items(), key=lambda one: -one[1])
    lines = [
        (key, us(found["fp16"][key]), us(time), f"{time / found['fp16'][key]:.2f}")
        for key, time in slow
        if key in found["fp16"]
    ]
    return markdown(("convolutions in one layer", "FP16", "INT8", "INT8 to FP16"), lines)


def beside() -> str:
    """TensorRT, ONNX Runtime and PyTorch."""
    head = (
        "network", "precision", "batch", "TensorRT", "as CUDA graph", "ONNX Runtime, CUDA",
        "PyTorch", "PyTorch, CUDA graph", "TensorRT, second visit",
    )  # fmt: skip
    torch = {
        (r["network"], r["precision"], r["batch"]): r for r in record("networks")["tables"]["torch"]
    }
    again = {
        (r["network"], r["precision"], r["batch"]): r["tensorrt_us"]
        for r in record("visit2-networks")["tables"]["latency"]
    }
    lines = []
    for row in rows("latency", ("networks",)):
        key = (row["network"], row["precision"], row["batch"])
        times = [row["tensorrt_us"], row["graph_us"], row["onnxruntime_us"]]
        times += [torch[key]["eager_us"], torch[key]["graph_us"]]
        second = us(again[key]) if key in again else ""
        lines.append((TITLES[key[0]], key[1].upper(), key[2], *map(us, times), second))
    return markdown(head, lines)


def tolerance() -> str:
    """Largest differences over batches 1, 8 and 32."""
    head = ("network", "precision", "visit", "TensorRT", "ONNX Runtime, CUDA", "limit")
    worst: dict[tuple[str, str, int], list[float]] = {}
    for visit, name in ((1, "networks"), (2, "visit2-networks")):
        for row in rows("accuracy", (name,)):
            have = worst.setdefault((row["network"], row["precision"], visit), [0.0, 0.0])
            have[0] = max(have[0], row["tensorrt"])
            have[1] = max(have[1], row["onnxruntime_cuda"])
    return markdown(
        head,
        (
            (TITLES[n], p.upper(), v, f"{a:.4f}", f"{b:.4f}", {"fp32": "0.01", "fp16": "0.03"}[p])
            for (n, p, v), (a, b) in sorted(
                worst.items(), key=lambda o: list(TITLES).index(o[0][0])
            )
        ),
    )


def hybrids() -> str:
    """Hybrids beside the sum of their parts."""
    head = (
        "network", "visit", "batch", "engines", "native parts", "hybrid", "sum of its parts",
        "over", "as one CUDA graph", "copies to or from the host",
    )  # fmt: skip
    lines = []
    for visit, name in ((1, "hybrid"), (2, "visit2-hybrids")):
        for row in record(name)["tables"]["hybrid"]:
            network, _, more = row["network"].partition(",")
            graph = row.get("as_graph_us")
            copied = row.get("copies_to_gpu", 0) + row.get("copies_from_gpu", 0)
            lines.append(
                (
                    TITLES[network] + (f",{more}" if more else ""), visit, row["batch"],
                    row["engines"], row["natives"], us(row["hybrid_us"]),
                    us(row["sum_of_parts_us"]), f"{100 * row['over']:+.1f} %",
                    us(graph) if graph else "", copied if "copies_to_gpu" in row else "",
                )
            )  # fmt: skip
    return markdown(head, lines)


def tests() -> str:
    """Which record holds which tests."""
    lines = []
    for path in sorted(FOLDER.glob(f"{PREFIX}*.json")):
        content = json.loads(path.read_text())
        ends = [test["outcome"] for test in content["tests"]]
        lines.append(
            (
                f"[{path.stem.removeprefix(PREFIX)}]({path.name})", content["about"]["date"],
                ends.count("passed"), len(ends) - ends.count("passed"),
            )
        )  # fmt: skip
    return markdown(("record", "begun", "passed", "failed"), lines)


TABLES: dict[str, Callable[[], str]] = {
    "latency": latency, "achieved": achieved, "deviation": deviation, "accuracy": accuracy,
    "kinds": kinds, "losers": losers, "beside": beside, "tolerance": tolerance,
    "hybrids": hybrids, "tests": tests,
}  # fmt: skip


def filled(page: str) -> str:
    """The page with its tables as the records say."""
    for name, make in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not mark.search(page):
            raise SystemExit(f"the page has no place for the table {name}")
        page = mark.sub(lambda found, text=make(): f"{found[1]}{text}\n{found[2]}", page)
    return page


def draw(path: Path) -> None:
    """Latency by precision and batch of the two large networks, as bars with their values."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    measured = rows("int8 latency", INT8_RECORDS)
    for place, name in zip(places, ("resnet50", "mobilenet_v2"), strict=True):
        mine = [row for row in measured if row["network"] == name]
        for i, precision in enumerate(PRECISIONS):
            heights = [row[f"{precision}_us"] / 1e3 for row in mine]
            at = [j + (i - 1) * 0.27 for j in range(len(mine))]
            bars = place.bar(at, heights, 0.25, color=COLORS[precision], label=precision.upper())
            place.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
        place.set_title(TITLES[name], loc="left", fontsize=11)
        place.set_xticks(range(len(mine)), [f"batch {row['batch']}" for row in mine])
        place.set_ylabel("ms")
        place.spines[["top", "right"]].set_visible(False)
        place.margins(y=0.12)
    places[0].legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_beside(path: Path) -> None:
    """Batch 8 in FP16 of the large networks: TensorRT, ONNX Runtime and PyTorch."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = ("resnet50", "mobilenet_v2", "googlenet")
    tables = record("networks")["tables"]
    own = {(r["network"], r["precision"], r["batch"]): r for r in tables["latency"]}
    torch = {(r["network"], r["precision"], r["batch"]): r for r in tables["torch"]}
    series = (
        ("PyTorch", torch, "eager_us", "#CC79A7"),
        ("PyTorch, CUDA graph", torch, "graph_us", "#56B4E9"),
        ("ONNX Runtime, CUDA", own, "onnxruntime_us", "#E69F00"),
        ("TensorRT", own, "tensorrt_us", "#009E73"),
        ("TensorRT, CUDA graph", own, "graph_us", "#0072B2"),
    )
    figure, place = pyplot.subplots(figsize=(9, 3.4), layout="constrained")
    for i, (label, values, field, color) in enumerate(series):
        heights = [values[name, "fp16", 8][field] / 1e3 for name in names]
        at = [j + (i - 2) * 0.17 for j in range(len(names))]
        bars = place.bar(at, heights, 0.16, color=color, label=label)
        place.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
    place.set_xticks(range(len(names)), [TITLES[name] for name in names])
    place.set_ylabel("ms, FP16, batch 8")
    place.spines[["top", "right"]].set_visible(False)
    place.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.2), fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(*, check: bool) -> int:
    """Exit status."""
    page = FOLDER / "README.md"
    before = page.read_text()
    after = filled(before)
    if check:
        return int(before != after)
    page.write_text(after)
    draw(FOLDER / "precision.png")
    draw_beside(FOLDER / "beside.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
