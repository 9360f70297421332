import builtins
import inspect
import re

import pytest

from workbench import errors


def _declared() -> dict[str, tuple[str, list[str]]]:
    """Class name -> (parent in the tree, other bases named behind `also`) from the docstring."""
    tree = re.search(r"```\n(.*?)```", errors.__doc__ or "", re.S)
    assert tree
    found: dict[str, tuple[str, list[str]]] = {}
    path: list[str] = []
    for line in tree.group(1).splitlines():
        match = re.match(r"^([│├└─ ]*)(\w+)(?:\s+also (.*))?$", line)
        assert match, line
        depth = len(match.group(1)) // 4
        del path[depth:]
        also = [word for word in re.split(r"[,\s]+", match.group(3) or "") if word]
        found[match.group(2)] = (path[-1] if path else "Exception", also)
        path.append(match.group(2))
    return found


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    actual = {
        name: (kind.__bases__[0].__name__, [base.__name__ for base in kind.__bases__[1:]])
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert actual == _declared()


@pytest.mark.parametrize("name", [name for name in _declared() if _declared()[name][1]])
def test_errors_are_also_the_builtin_ones_they_say(name: str):
    for also in _declared()[name][1]:
        assert issubclass(getattr(errors, name), getattr(builtins, also))


def test_a_build_error_survives_the_way_through_a_process():
    import pickle

    error = errors.BuildError("no", backend="openvino", subgraph=("a", "b"), log="words")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.backend, again.subgraph, again.log) == (
        "no",
        "openvino",
        ("a", "b"),
        "words",
    )
