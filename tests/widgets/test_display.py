"""Values shown in a notebook and in a terminal."""

import base64
import html.parser
import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from workbench import backends, hybrid, markup, plot, report, study, zoo
from workbench import model as models
from workbench.graph import Graph, Node, TensorSpec
from workbench.partitioning import Exclusion, plan
from workbench.precision import asked
from workbench.ranges import CalibrationTable, Range
from workbench.study import Design, Subject
from workbench.widgets import display
from workbench.widgets.display_precision import precision_parts
from workbench.widgets.hook import TYPES, bundle

HOSTILE = (
    "<script>window.PWNED=1</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><b>",
    "\x1b[31mred\x1b[0m",
    "a\u202eb\u2028c",
    "${7*7}{{7*7}}",
)


class Shape(html.parser.HTMLParser):
    """Tags in order: the shape of a page without its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def chain(names: tuple[str, ...]) -> models.Model:
    """Relus of these names, one after the other."""
    tensors = ["x", *(f"t{i}" for i in range(len(names)))]
    nodes = [
        helper.make_node("Relu", [tensors[i]], [tensors[i + 1]], name=name)
        for i, name in enumerate(names)
    ]
    info = [helper.make_tensor_value_info(t, TensorProto.FLOAT, [2]) for t in tensors]
    graph = helper.make_graph(nodes, names[0], [info[0]], [info[-1]])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return models.load(proto.SerializeToString(), name=names[0])


def values(model: models.Model) -> list[object]:
    capability = backends.source("tensorrt-11.1").capability(model)
    made = plan(model.graph, capability, exclude=Exclusion(nodes=(model.graph.nodes[1].name,)))
    return [model, capability, made, made.at(1)]


def test_every_type_has_its_function_and_is_where_it_is_said_to_be():
    import importlib

    for (module, name), function in TYPES.items():
        assert hasattr(importlib.import_module(module), name)
        assert callable(getattr(display, function))


def test_plain_values_show_text_and_html():
    for value in values(zoo.load("digits_inception")):
        found = bundle(value)
        assert set(found) == {"text/plain", "text/html"}
        assert found["text/plain"].isprintable() or "\n" in found["text/plain"]
        assert markup.CLASS in found["text/html"]
    with pytest.raises(TypeError, match="print it"):
        bundle(42)


def test_hostile_names_leave_the_same_shape():
    harmless = values(chain(tuple(f"n{i}" for i in range(len(HOSTILE)))))
    for plain, evil in zip(harmless, values(chain(HOSTILE)), strict=True):
        a, b = bundle(plain), bundle(evil)
        assert Shape(a["text/html"]).tags == Shape(b["text/html"]).tags
        assert "\x1b" not in b["text/plain"]
        assert "\u202e" not in b["text/html"]
        assert len(a["text/plain"].splitlines()) == len(b["text/plain"].splitlines())


def test_long_things_are_cut():
    model = chain(tuple(f"{i:04}" + "x" * 4000 for i in range(300)))
    for value in values(model):
        assert len(bundle(value)["text/html"]) < 200_000


def test_engines_hybrids_and_tables_show():
    model = zoo.load("digits_inception", batch=1)
    capability = backends.source("tensorrt-11.1").capability(model)
    made = plan(model.graph, capability, exclude=Exclusion(op_types=("Concat",))).at(3)
    whole = bundle(hybrid.build_engine(model, "onnxruntime"))
    assert "onnxruntime engine of" in whole["text/plain"]
    parts = bundle(hybrid.build(model, made, "onnxruntime"))
    assert "Hybrid of" in parts["text/plain"]
    assert "engine 0" in parts["text/html"]
    table = CalibrationTable("minmax", {"image": Range(0.0, 1.0)})
    assert "image" in bundle(table)["text/html"]


def test_a_hybrid_says_what_was_asked_for_and_what_it_computes_in():
    pytest.importorskip("openvino")
    model = zoo.load("digits_inception", batch=1)
    made = plan(model.graph, backends.get("openvino").capability(model)).at(3)
    found = bundle(hybrid.build(model, made, "openvino"))
    assert "all in what the model's types ask for" in found["text/plain"]
    assert "<th>asked for</th><th>computed in</th>" in found["text/html"]


def test_types_of_a_model_ask_for_precisions():
    half = TensorSpec("h", "float16", (1,))
    nodes = (
        Node("q", "QuantizeLinear", inputs=("x",), outputs=("a",)),
        Node("d", "DequantizeLinear", inputs=("a",), outputs=("b",)),
        Node("c", "Conv", inputs=("b", "w"), outputs=("y",)),
        Node("r", "Relu", inputs=("y",), outputs=("h",)),
    )
    specs = (TensorSpec("b", "float32", (1,)), TensorSpec("y", "float32", (1,)))
    graph = Graph("g", (TensorSpec("x", "float32", (1,)),), (half,), nodes, (), specs)
    assert asked(graph).overlay() == {"q": "fp32", "d": "fp32", "c": "int8", "r": "fp16"}
    layers = Graph("l", (), (), (
        Node("one", "Convolution", attributes={"precision": "float32"}, origin=("c",)),
        Node("two", "Relu", attributes={"precision": "float16"}, origin=("r",)),
    ))  # fmt: skip
    words, html = precision_parts(layers, graph)
    assert words == "2 layers say what they compute in; 1 not in what the model's types ask for"
    assert html[0].index("one") < html[0].index("two")
    assert "wider" in html[0]


@pytest.mark.slow
def test_a_study_shows_and_becomes_a_page(tmp_path: Path):
    evil = "<img src=x onerror=alert(1)>"
    subject = Subject(zoo.load("digits_inception"), title=evil)
    design = Design(thresholds=(3,), seconds=0.05, min_rounds=6, deviation_samples=1)
    found = study.run(subject, design)
    shown = bundle(found)["text/html"]
    assert "onerror" in shown
    assert "<img src=x" not in shown
    page = report.save(found, tmp_path / "r.html").read_text("utf-8")
    assert f'content="{markup.CSP}"' in page
    assert "<img src=x" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert not {"script", "iframe", "link", "object"} & set(Shape(page).tags)
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_ipython_takes_the_bundle_and_a_plain_python_none():
    code = (
        "import json, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import workbench as wb\n"
        "model = wb.zoo.load('digits_inception')\n"
        "data, _ = shell.display_formatter.format(model)\n"
        "print(json.dumps(sorted(data)), data['text/plain'].splitlines()[0])\n"
        "print('workbench.plot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kinds, rest = done.stdout.splitlines()[0].split("] ")
    assert json.loads(kinds + "]") == ["text/html", "text/plain"]
    assert rest.startswith("digits_inception: 48 nodes")


def test_the_whole_is_silent_about_jupyter_until_it_is_asked():
    code = (
        "import sys, workbench, workbench.report, workbench.widgets\n"
        "from workbench.widgets import State\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'IPython', 'ipywidgets', "
        "'anywidget', 'traitlets'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_markup_cells_are_text():
    made = markup.table(("a", "b"), [("<b>", 1), ("x", -2)])
    assert "&lt;b&gt;" in made
    assert made.count("class=n") == 3
    assert "and 3 more" in markup.table(("a",), [(i,) for i in range(5)], most=2)
    assert "b" not in Shape(made).tags


def test_a_figure_is_shown_as_a_picture():
    axes = plot.threshold_curve(plan_of_digits().curve())
    shown = bundle(axes[0].get_figure(root=True))
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert "Figure" in shown["text/plain"]


def plan_of_digits():
    model = zoo.load("digits_inception")
    return plan(model.graph, backends.source("tensorrt-11.1").capability(model))
