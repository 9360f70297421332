"""The arguments of every command, and nothing that is slow to import."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from workbench.text import shown

Parser = argparse.ArgumentParser


def count(text: str) -> int:
    """A whole number from 1, as an argument type."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """A whole number from 0, as an argument type."""
    return _whole(text, 0)


def _whole(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number from {low}")
    return value


def seconds(text: str) -> float:
    """A finite number from 0, as an argument type."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of seconds from 0")
    return value


def limit(text: str) -> float:
    """A finite number above 0, as an argument type."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number of seconds above 0")
    return value


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 joined by commas, as an argument type."""
    return tuple(count(part) for part in text.split(","))


def words(text: str) -> tuple[str, ...]:
    """Names joined by commas, as an argument type."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def model(command: Parser) -> None:
    """MODEL and how to fix its dynamic extents."""
    command.add_argument("model", metavar="MODEL", help="an ONNX file, or a network of the zoo")
    shapes(command)


def shapes(command: Parser) -> None:
    """Extents of dynamic inputs."""
    command.add_argument(
        "--batch",
        type=count,
        default=1,
        metavar="N",
        help="first extent of every input (default 1)",
    )
    command.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="INPUT=1x3x224x224",
        help="the whole shape of one input; can be given again",
    )
    command.add_argument("--seed", type=seed, help="seed of a random zoo network (0)")


def inspecting(command: Parser) -> None:
    """`inspect`: MODEL may be left out for a list of the zoo."""
    command.add_argument("model", metavar="MODEL", nargs="?", help="an ONNX file or a zoo network")
    shapes(command)
    command.add_argument("--zoo", action="store_true", help="list the networks of the zoo")
    command.add_argument("--nodes", action="store_true", help="one line for each node")
    as_json(command)


def partitioning(command: Parser) -> None:
    """Who is asked, and how the graph is divided."""
    group = command.add_argument_group("partition")
    group.add_argument(
        "--source",
        help="who says what can be taken: tensorrt (the parser installed here), tensorrt-8.6, "
        "tensorrt-10.16, tensorrt-11.1, openvino, onnxruntime "
        "(default: tensorrt, or tensorrt-11.1 where none is installed)",
    )
    group.add_argument(
        "--min-subgraph-size",
        "-t",
        type=count,
        metavar="N",
        help="partition threshold: smallest number of operators worth an engine (default 3)",
    )
    group.add_argument("--policy", choices=("connected", "fewest"), help="default: connected")
    group.add_argument(
        "--preset", help="the rules of another framework: paddle, paddle_pir, onnxruntime, ..."
    )
    for flag, what in (
        ("--exclude-op", "operator types"),
        ("--exclude-node", "node names or patterns such as 'layer4/*'"),
        ("--exclude-tensor", "tensors: the nodes that make or read them"),
    ):
        group.add_argument(
            flag, type=words, default=(), metavar="A,B", help=f"keep out of engines: {what}"
        )


def planning(command: Parser) -> None:
    """Questions to a plan."""
    group = command.add_argument_group("questions")
    group.add_argument("--why", metavar="NODE", help="why this node is where it is")
    group.add_argument(
        "--apart", nargs=2, metavar=("A", "B"), help="why two nodes are not in the same engine"
    )
    group.add_argument(
        "--what-if", action="store_true", help="which operator type, if taken, saves most engines"
    )
    group.add_argument(
        "--nodes", action="store_true", help="one line for each node and its verdict"
    )
    group.add_argument("--figure", type=Path, metavar="FILE", help="draw the threshold curve")
    as_json(command)


def building(command: Parser) -> None:
    """How engines are built."""
    group = command.add_argument_group("build")
    group.add_argument("--backend", default="openvino", help="what builds engines (openvino)")
    group.add_argument("--native", default="onnxruntime", help="what runs the rest (onnxruntime)")
    group.add_argument("--threads", type=count, default=1, help="CPU threads an engine may use (1)")
    group.add_argument(
        "--timeout", type=limit, default=1800, metavar="SECONDS", help="limit for one engine (1800)"
    )
    group.add_argument("--strict", action="store_true", help="fail where an engine cannot be built")
    group.add_argument(
        "--no-cache", action="store_true", help="neither read nor write cached plans"
    )


def output(command: Parser) -> None:
    """Where the hybrid goes."""
    command.add_argument("--out", type=Path, metavar="PATH", help="save the hybrid here")


def running(command: Parser) -> None:
    """What goes in, what is compared."""
    group = command.add_argument_group("run")
    group.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="an input from a file; inputs not given are random, from --seed",
    )
    group.add_argument("--out", type=Path, metavar="FILE.npz", help="write the outputs here")
    group.add_argument(
        "--reference", metavar="BACKEND", help="also run the whole model there and compare"
    )
    group.add_argument(
        "--seconds", type=seconds, default=1.0, help="time spent on measuring latency (1; 0: none)"
    )


def data(command: Parser) -> None:
    """Labelled data and its preprocessing."""
    group = command.add_argument_group("labelled data")
    group.add_argument(
        "--data",
        metavar="PATH",
        help="a folder with val_list.txt, an .npz, `digits` or `noisy-digits`",
    )
    group.add_argument("--list-file", default="val_list.txt", help="lines of `path label`")
    group.add_argument("--resize", type=count, help="shorter side in pixels (256)")
    group.add_argument("--crop", type=count, help="centre crop in pixels (224)")
    group.add_argument("--channels", choices=("RGB", "BGR", "L"), help="L is grey (RGB)")
    group.add_argument("--mean", type=words, help="one number for each channel")
    group.add_argument("--std", type=words, help="one number for each channel")
    group.add_argument("--scale", type=float, help="factor on pixel values (1/255)")
    group.add_argument("--limit", type=count, help="use only the first N items")


def studying(command: Parser) -> None:
    """What a study compares."""
    command.add_argument("models", metavar="MODEL", nargs="+", help="ONNX files or zoo networks")
    command.add_argument(
        "--thresholds", type=counts, default=(1, 3, 5, 10), metavar="A,B", help="1,3,5,10"
    )
    command.add_argument("--backends", type=words, default=("openvino",), metavar="A,B")
    command.add_argument("--native", default="onnxruntime", help="what runs the rest")
    measuring(command, "out/study")


def measuring(command: Parser, usual: str) -> None:
    """How a study measures, and where results and the journal go."""
    command.add_argument("--seed", type=seed, help="seed of random zoo networks (0)")
    command.add_argument("--batches", type=counts, default=(1,), metavar="A,B", help="1")
    command.add_argument("--threads", type=count, default=1)
    command.add_argument("--seconds", type=limit, default=2.0, help="for each configuration (2)")
    command.add_argument("--out", type=Path, metavar="FOLDER", help=f"default: {usual}/NETWORKS")
    command.add_argument("--format", choices=("csv", "parquet", "json"), default="csv")
    command.add_argument("--fresh", action="store_true", help="start over instead of resuming")
    command.add_argument(
        "--output", metavar="NAME", help="output that holds the scores, of networks with several"
    )


def calibrating(command: Parser) -> None:
    """Precisions, and where the ranges of INT8 come from."""
    group = command.add_argument_group("precision")
    group.add_argument(
        "--precisions",
        type=words,
        default=(),
        metavar="A,B",
        help="fp32, tf32, fp16, bf16, int8, or the file of a precision plan",
    )
    group.add_argument(
        "--calibration",
        metavar="PATH",
        help="ranges for INT8: data as for --data, or a calibration table (.json, .cache); "
        "default: the calibration pictures of digits, else the first 128 of --data",
    )
    method(group)
    group.add_argument(
        "--strict", action="store_true", help="fail what does not compute in what was asked for"
    )


def method(group: argparse._ArgumentGroup) -> None:
    """The rule that makes ranges of data."""
    rules = ("minmax", "percentile", "entropy", "mse", "aciq")
    group.add_argument("--method", choices=rules, default="entropy", help="default: entropy")


def comparing_precisions(command: Parser) -> None:
    """`precision`: networks side by side."""
    command.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="ONNX files or zoo networks; default: the trained ones of the zoo",
    )
    command.add_argument("--backend", default="openvino", help="what builds and runs (openvino)")
    measuring(command, "out/precision")


def counting(command: Parser) -> None:
    """`kernels`: which networks, built by what."""
    command.add_argument(
        "models", metavar="MODEL", nargs="*", help="ONNX files or zoo networks; default: the zoo"
    )
    shapes(command)
    group = command.add_argument_group("build")
    group.add_argument("--backend", default="tensorrt", help="what builds engines (tensorrt)")
    group.add_argument(
        "--precisions", type=words, default=("fp32", "fp16"), metavar="A,B", help="fp32,fp16"
    )
    group.add_argument("--threads", type=count, default=1, help="CPU threads an engine may use (1)")
    group.add_argument(
        "--timeout", type=limit, default=1800, metavar="SECONDS", help="limit for one engine (1800)"
    )
    group.add_argument("--out", type=Path, metavar="FILE.md", help="write the table here, too")


def opening(command: Parser) -> None:
    """`open-engine`: what TensorRT wrote, and the model behind it."""
    command.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="layer lists (--exportLayerInfo or the inspector's), --exportProfile, --exportTimes, "
        "logs of builds or of trtexec, TREX folders",
    )
    command.add_argument(
        "--onnx", metavar="MODEL", help="what it was built from: where each of its nodes went"
    )
    command.add_argument("--all", action="store_true", help="list every layer, in running order")
    command.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw it: .html .svg .png .pdf .dot"
    )
    as_json(command)


def table_making(command: Parser) -> None:
    """`calibrate`: where the table goes and how it is made."""
    group = command.add_argument_group("table")
    group.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="ending in .json (all that is known) or .cache (TensorRT's calibration cache)",
    )
    group.add_argument(
        "--form", choices=("workbench", "tensorrt", "paddle", "onnxruntime"),
        help="another form than the ending says",
    )  # fmt: skip
    method(group)
    group.add_argument("--threads", type=count, help="default: as many as this process may use")
    group.add_argument(
        "--journal", type=Path, metavar="FILE", help="go on there after an interruption"
    )


def demonstrating(command: Parser) -> None:
    """`demo`: where its results go."""
    command.add_argument("--out", type=Path, default=Path("out/demo"), metavar="FOLDER")


def as_json(command: Parser) -> None:
    """Machine-readable output."""
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def serving(command: Parser) -> None:
    """Where a server listens."""
    command.add_argument("--port", type=count, help="port on this machine")
    command.add_argument("--no-browser", action="store_true", help="do not open a browser")


def notebooks(command: Parser) -> None:
    """`lab`: which folder."""
    command.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, help="default: the workbench's notebooks"
    )


def application(command: Parser) -> None:
    """`app`: which network, which data."""
    command.add_argument(
        "model", metavar="MODEL", nargs="?", help="an ONNX file, or a network of the zoo"
    )
    command.add_argument("--data", metavar="PATH", help="a folder, an .npz, `digits` ...")


COMMANDS = (
    ("inspect", "what a model holds: operators, shapes, parameters, FLOPs", (inspecting,)),
    (
        "plan",
        "which nodes TensorRT takes, why not the rest, and the subgraphs",
        (model, partitioning, planning),
    ),
    ("build", "build the engines of a partition", (model, partitioning, building, output)),
    (
        "kernels",
        "one table: what TensorRT makes of the nodes of networks, and in how many kernels",
        (counting, partitioning),
    ),
    (
        "open-engine",
        "look at an engine somebody built, from the files TensorRT wrote about it",
        (opening,),
    ),
    (
        "run",
        "run a model or a saved hybrid and measure it",
        (model, partitioning, building, running),
    ),
    (
        "study",
        "measure thresholds x batches x backends x precisions",
        (studying, partitioning, data, calibrating),
    ),
    (
        "precision",
        "one table: accuracy and latency of networks in FP32 and INT8",
        (comparing_precisions, data, calibrating),
    ),
    (
        "calibrate",
        "take the ranges that INT8 needs from data, and write the table",
        (model, table_making, data),
    ),
    ("demo", "the study of the README: digits and Inception v1", (demonstrating,)),
    ("lab", "open JupyterLab on the notebooks", (notebooks, serving)),
    ("app", "the Explorer as a page of its own", (application, serving)),
    ("doctor", "what is installed and usable here, and what to install", (as_json,)),
)
"""Name, summary, and the groups of arguments of each command."""
