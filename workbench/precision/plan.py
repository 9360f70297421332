"""`PrecisionPlan`: which nodes are to be computed in what, as a value one can keep and compare.

It names no weights and no engine, so one plan serves every backend. Rules are read from top to
bottom and the last one that fits a node decides, as in a style sheet: begin with what is general.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from re import compile as compiled
from typing import Any

from workbench.errors import PrecisionError
from workbench.graph import Graph
from workbench.partitioning import Subgraph
from workbench.precision.resolution import Change, Precision, Resolution, parsed
from workbench.text import listed, nearest, shown

FORMAT = "workbench precision plan"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """Nodes of some kind, and their precision.

    Raises:
        PrecisionError: an unknown precision, or a rule that names nothing.

    Example:
        >>> Rule("fp32", op_types=("Softmax",), nodes=("/head/*",)).precision
        <Precision.FP32: 'fp32'>
    """

    precision: Precision
    op_types: tuple[str, ...] = ()
    """Operator types, ``Conv``; of another domain ``com.microsoft::Gelu`` or just ``Gelu``."""
    nodes: tuple[str, ...] = ()
    """Node names, or patterns with ``*``, ``?`` and ``[...]``; a name that is there is taken as it
    stands."""
    label: str = ""
    """What messages call the rule, e.g. ``engine 3``; made from the other fields where empty."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", parsed(self.precision))
        for name in ("op_types", "nodes"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, str) else tuple(value)
            if not all(isinstance(one, str) and one for one in value):
                raise PrecisionError(f"{name} of a precision rule holds what is no name")
            object.__setattr__(self, name, value)
        if not self.op_types and not self.nodes:
            raise PrecisionError(
                f"a rule for {self.precision.value} names no operator type and no node; name some, "
                "or change the plan's default"
            )

    @classmethod
    def of_subgraph(cls, precision: Precision | str, part: Subgraph) -> Rule:
        """The rule for all nodes of a subgraph."""
        return cls(parsed(precision), nodes=part.nodes, label=f"subgraph {part.index}")

    @property
    def words(self) -> str:
        """The rule as text, safe to print."""
        if self.label:
            return f"{shown(self.label)} is {self.precision.value}"
        kinds = [f"operator type {listed(self.op_types, 3)}"] if self.op_types else []
        kinds += [f"node {listed(self.nodes, 3)}"] if self.nodes else []
        return f"{' and '.join(kinds)} is {self.precision.value}"

    def matches(self, graph: Graph) -> set[int]:
        """Places of the nodes the rule names.

        Raises:
            PrecisionError: a name that fits nothing in the graph; says the nearest there is.
        """
        found: set[int] = set()
        for op_type in self.op_types:
            found |= _of_type(graph, op_type)
        for name in self.nodes:
            found |= _of_name(graph, name)
        return found


@dataclass(frozen=True, slots=True)
class PrecisionPlan:
    """A default precision and the rules that make exceptions from it.

    Raises:
        PrecisionError: an unknown precision, or a rule that is none.

    Example:
        >>> plan = PrecisionPlan("int8", (Rule("fp32", op_types=("Gemm",)),))
        >>> PrecisionPlan.from_json(plan.to_json()) == plan
        True
    """

    default: Precision = Precision.FP32
    rules: tuple[Rule, ...] = ()
    """Exceptions; where several fit a node, the last one decides."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "default", parsed(self.default))
        object.__setattr__(self, "rules", tuple(self.rules))
        if not all(isinstance(rule, Rule) for rule in self.rules):
            raise PrecisionError("the rules of a precision plan must be Rule values")

    def but(
        self,
        precision: Precision | str,
        *,
        op_types: Iterable[str] = (),
        nodes: Iterable[str] = (),
    ) -> PrecisionPlan:
        """The plan with one more rule, which goes before all others."""
        rule = Rule(parsed(precision), tuple(op_types), tuple(nodes))
        return PrecisionPlan(self.default, (*self.rules, rule))

    def resolve(self, graph: Graph) -> Resolution:
        """The precision of every node, and why.

        Raises:
            PrecisionError: a rule that fits nothing in the graph.
        """
        chosen = [self.default] * len(graph.nodes)
        reasons = [f"the plan's default is {self.default.value}"] * len(graph.nodes)
        explicit: set[int] = set()
        for rule in self.rules:
            for i in rule.matches(graph):
                chosen[i], reasons[i] = rule.precision, rule.words
                explicit.add(i)
        names = [node.name for node in graph.nodes]
        return Resolution(
            dict(zip(names, chosen, strict=True)),
            dict(zip(names, reasons, strict=True)),
            frozenset(names[i] for i in explicit),
        )

    def diff(self, other: PrecisionPlan, graph: Graph) -> tuple[Change, ...]:
        """The nodes of `graph` that `other` would compute in another precision."""
        return self.resolve(graph).diff(other.resolve(graph))

    def to_json(self) -> str:
        """The plan as text; `from_json` gives an equal one."""
        rules = [
            {
                "precision": rule.precision.value,
                **({"op_types": list(rule.op_types)} if rule.op_types else {}),
                **({"nodes": list(rule.nodes)} if rule.nodes else {}),
                **({"label": rule.label} if rule.label else {}),
            }
            for rule in self.rules
        ]
        plan = {"format": FORMAT, "version": VERSION, "default": self.default.value, "rules": rules}
        return json.dumps(plan, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "precision plan") -> PrecisionPlan:
        """The plan that `to_json` wrote, or one written by hand.

        Args:
            text: the JSON text.
            source: what messages call it, e.g. a file name.

        Raises:
            PrecisionError: no JSON, no plan, another version, or a field that does not exist.
        """
        where = shown(source)
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise PrecisionError(f"{where} is no JSON: {shown(error)}") from error
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise PrecisionError(f"{where} is no precision plan of the workbench")
        if fields.get("version") != VERSION:
            raise PrecisionError(f"{where} has version {shown(fields.get('version'))}, not 1")
        _refuse_unknown(where, fields, ("format", "version", "default", "rules"))
        rules = fields.get("rules", [])
        if not isinstance(rules, list):
            raise PrecisionError(f"{where}: rules is no list")
        made = tuple(_rule(f"{where}, rule {i}", one) for i, one in enumerate(rules))
        return cls(parsed(fields.get("default", Precision.FP32)), made)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_json` to a file; its path."""
        Path(path).write_text(self.to_json(), encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrecisionPlan:
        """The plan of a file.

        Raises:
            PrecisionError: it cannot be read, or `from_json` refuses it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PrecisionError(f"{shown(path)} cannot be read: {shown(error)}") from error
        return cls.from_json(text, source=Path(path).name)


def _rule(where: str, fields: Any) -> Rule:
    if not isinstance(fields, dict) or "precision" not in fields:
        raise PrecisionError(f"{where} has no precision")
    _refuse_unknown(where, fields, ("precision", "op_types", "nodes", "label"))
    for name in ("op_types", "nodes"):
        if not isinstance(fields.get(name, []), list):
            raise PrecisionError(f"{where}: {name} is no list of names")
    try:
        return Rule(
            fields["precision"], tuple(fields.get("op_types", ())), tuple(fields.get("nodes", ())),
            str(fields.get("label", "")),
        )  # fmt: skip
    except PrecisionError as error:
        raise PrecisionError(f"{where}: {error}") from error


def _refuse_unknown(where: str, fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in fields:
        if name not in known:
            raise PrecisionError(
                f"{where} has a field {shown(name)}{nearest(name, known)}; there is "
                f"{', '.join(known)}"
            )


def _of_type(graph: Graph, op_type: str) -> set[int]:
    domain, _, short = op_type.rpartition("::")
    found = {
        i
        for i, node in enumerate(graph.nodes)
        if node.op_type == short and (not domain or node.domain == domain)
    }
    if not found:
        kinds = sorted({node.op_type for node in graph.nodes})
        raise PrecisionError(_nothing(graph, "operator type", op_type, nearest(short, kinds)))
    return found


def _of_name(graph: Graph, name: str) -> set[int]:
    if name in graph.position:
        return {graph.position[name]}
    if any(mark in name for mark in "*?["):
        fits = compiled(translate(name)).match
        found = {i for i, node in enumerate(graph.nodes) if fits(node.name)}
        if found:
            return found
    raise PrecisionError(_nothing(graph, "node", name, nearest(name, graph.position)))


def _nothing(graph: Graph, kind: str, name: str, hint: str) -> str:
    return (
        f"a precision rule fits nothing: graph {shown(graph.name)} has no {kind} {shown(name)}"
        f"{hint}; correct the name or leave the rule out"
    )
