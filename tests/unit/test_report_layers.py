"""The table of layers in a report: precision asked for and achieved, time, names as text."""

from study_samples import study_of

from workbench import report
from workbench.graph import Graph, Node, TensorSpec

EVIL = "<script>alert(1)</script>"


def ran():
    graph = Graph(
        "n",
        (TensorSpec("x", "float16", (1,)),),
        (TensorSpec("y", "float16", (1,)),),
        (
            Node(EVIL, "Conv", inputs=("x", "w"), outputs=("c",)),
            Node("relu", "Relu", inputs=("c",), outputs=("y",)),
        ),
        tensors=(TensorSpec("c", "float16", (1,)),),
    )
    layers = Graph(
        "l", graph.inputs, graph.outputs,
        (
            Node("quick", "Relu", inputs=("c",), outputs=("y",), origin=("relu",),
                 attributes={"precision": "float16"}),
            Node("slow" + EVIL, "Convolution", inputs=("x",), outputs=("c",), origin=(EVIL,),
                 attributes={"precision": "float32"}),
        ),
    )  # fmt: skip
    return report.Layers(graph, layers, {"quick": 1e-6, "slow" + EVIL: 12.5e-6})


def test_layers_are_folded_slowest_first_with_asked_for_and_achieved():
    text = report.layers_table("a < b", ran())
    assert text.startswith("<details><summary>layers of a &lt; b</summary>")
    cells = [row.split("<td") for row in text.split("<tr")[2:]]
    words = [[cell.partition(">")[2].partition("<")[0] for cell in row[1:]] for row in cells]
    assert [row[0].split("&lt;")[0] for row in words] == ["slow", "quick"]
    assert [row[1:5] for row in words] == [
        ["fp16", "fp32", "wider", "12.5"], ["fp16", "fp16", "met", "1.0"],
    ]  # fmt: skip
    assert "<script" not in text


def test_the_report_has_them_only_for_what_was_given():
    study = study_of()
    one = study.configurations[1]
    page = report.html(study, layers={one.key: ran()})
    assert page.count("<details>") == 1
    assert f"layers of {one.variant}" in page
    assert "<script" not in page
    assert "<details>" not in report.html(study)
