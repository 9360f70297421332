"""The process that lays out with the Graphviz libraries in pygraphviz's wheel.

It reads one JSON string a line (DOT source) and answers with one a line (Graphviz's plain format,
or null where the libraries refuse). pygraphviz holds the interpreter's lock for a whole layout and
a crash in it is a crash of its process: neither may happen to a notebook's kernel.
"""

from __future__ import annotations

import json
import sys
import warnings


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    import pygraphviz

    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    for line in sys.stdin:
        try:
            drawn = pygraphviz.AGraph(string=json.loads(line)).draw(format="plain", prog="dot")
            answer = drawn.decode() if drawn else None
        except Exception:
            # Whatever the library raises, the parent has a layout of its own for this piece.
            answer = None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
