"""Verdicts of the live parser: asked whole first, then piece by piece until every node has one.

The parser's own lists are unconfirmed candidates, and an error while it imports hides all later
ones. So each failing node is taken out, the runs between failing nodes are asked again as models
of their own, and so on; an interval of a topological order is a legal cut. Runs are cut only at
failing nodes, because a cut through a computation of shapes can make the parser refuse what it
takes whole; only a piece that fails with no node to blame, or that kills the parser, is halved.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar

from workbench import scratch
from workbench.backends.tensorrt import asking
from workbench.backends.tensorrt.asking import Answer, Complaint
from workbench.backends.tensorrt.skeleton import Skeleton, write_zeros
from workbench.backends.tensorrt.words import ONNX_DOMAINS, code_of, reason_of
from workbench.errors import WorkerDiedError, WorkerTimeoutError
from workbench.partitioning import Code, Verdict
from workbench.progress import Cancel, Event, Progress, silent
from workbench.text import shown
from workbench.worker import Worker

_MOST_ANSWERS = 20_000
_SHORTEST_LIMIT = 5.0

Places = tuple[int, ...]
Note = Callable[[str], str]
"""Operator -> what the tables say of it, or nothing."""


class Asker:
    """Puts pieces to a parser in a child process, and remembers the answers by content."""

    _answers: ClassVar[OrderedDict[bytes, Answer]] = OrderedDict()
    _lock: ClassVar[Lock] = Lock()

    def __init__(self, package: str, title: str, *, timeout: float) -> None:
        """Make one; the child process starts at the first question without a known answer.

        Args:
            package: importable name of the TensorRT to ask.
            title: product and version, part of the key of remembered answers.
            timeout: seconds for one round of questions.
        """
        self.worker = Worker()
        self._package = package
        self._title = title.encode()
        self._timeout = self._limit = timeout
        self._known: dict[str, bool] = {}

    def begin(self) -> None:
        """Give the parser its whole time limit again; a piece that hangs shortens it."""
        self._limit = self._timeout

    def ask(self, pieces: Sequence[bytes], zeros: int, cancel: Cancel | None) -> list[Answer]:
        """An answer for each piece; one that killed the parser or its time limit says so.

        Args:
            pieces: serialized models that may use `zeros` as their external weights.
            zeros: bytes that all of these weights have together.
            cancel: stops the child process.
        """
        keys = [hashlib.sha256(self._title + piece).digest() for piece in pieces]
        found = {key: self._answers[key] for key in keys if key in self._answers}
        missing = {key: piece for key, piece in zip(keys, pieces, strict=True) if key not in found}
        if missing:
            with scratch.folder("ask") as folder:
                write_zeros(str(folder), zeros)
                path = str(folder / "model.onnx")
                answers = self._ask(list(missing.values()), path, cancel)
            found.update(zip(missing, answers, strict=True))
            self._remember(dict(zip(missing, answers, strict=True)))
        return [found[key] for key in keys]

    def known(self, operators: Iterable[str]) -> frozenset[str]:
        """Those of the operators that the parser knows by name."""
        wanted = set(operators)
        if new := sorted(wanted - self._known.keys()):
            answer = self.worker.call(
                asking.known_operators, self._package, new, timeout=self._timeout
            )
            self._known.update((name, name in answer) for name in new)
        return frozenset(name for name in wanted if self._known[name])

    def _ask(self, pieces: list[bytes], path: str, cancel: Cancel | None) -> list[Answer]:
        try:
            return self.worker.call(
                asking.ask, self._package, pieces, path, timeout=self._limit, cancel=cancel
            )
        except (WorkerDiedError, WorkerTimeoutError) as error:
            if isinstance(error, WorkerTimeoutError):
                # Some piece hangs: finding it must not take the whole limit at every halving.
                self._limit = min(self._limit, max(_SHORTEST_LIMIT, self._timeout / 8))
            if len(pieces) == 1:
                return [Answer(False, died=str(error))]
            middle = len(pieces) // 2
            return [
                *self._ask(pieces[:middle], path, cancel),
                *self._ask(pieces[middle:], path, cancel),
            ]

    def _remember(self, answers: dict[bytes, Answer]) -> None:
        with self._lock:
            self._answers.update((key, said) for key, said in answers.items() if not said.died)
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Fault:
    place: int
    complaint: Complaint


class Inquiry:
    """One model put to the parser; used once."""

    def __init__(self, skeleton: Skeleton, asker: Asker, source: str, note: Note) -> None:
        """Prepare to ask about a model.

        Args:
            skeleton: the model.
            asker: whom to ask.
            source: how the reasons name whom was asked.
            note: what operator tables say of an operator.
        """
        self._skeleton = skeleton
        self._graph = skeleton.graph
        self._asker = asker
        self._source = source
        self._note = note
        self._verdicts: dict[int, Verdict] = {}
        self._faults: list[_Fault] = []

    def verdicts(self, progress: Progress = silent, cancel: Cancel | None = None) -> list[Verdict]:
        """A verdict for each node, in the graph's order."""
        self._asker.begin()
        open_runs: list[Places] = [self._graph.order] if self._graph.nodes else []
        total = len(self._graph.nodes)
        while open_runs:
            progress(Event("ask the parser", self._source, len(self._verdicts), total))
            asked = [run for known in open_runs for run in self._without_unknown(known)]
            pieces = [self._skeleton.with_folded(run) for run in asked]
            answers = self._asker.ask(
                [self._skeleton.piece(piece) for piece in pieces], self._skeleton.left_out, cancel
            )
            open_runs = [
                rest
                for run, piece, answer in zip(asked, pieces, answers, strict=True)
                for rest in self._after(run, piece, answer)
            ]
        self._judge_faults()
        return [self._verdicts[place] for place in range(total)]

    def _after(self, run: Places, piece: Places, answer: Answer) -> list[Places]:
        """Take note of an answer; give the runs to ask about next."""
        if answer.taken:
            self._settle(run, Code.TAKEN, "")
            return []
        if answer.died:
            return self._dead(run, answer.died)
        guilty = self._guilty(run, piece, answer)
        if guilty:
            return self._runs(run)
        if len(run) == 1:
            words = answer.complaints[0] if answer.complaints else Complaint("UNKNOWN", "no words")
            self._faults.append(_Fault(run[0], words))
            self._settle(run, Code.UNKNOWN, "")
            return []
        return self._smaller(run, piece, answer)

    def _guilty(self, run: Places, piece: Places, answer: Answer) -> bool:
        """Settle the nodes that the complaints name; whether there were any."""
        mine, before = set(run), len(self._verdicts)
        for complaint in answer.complaints:
            for place in self._named(piece, complaint):
                if place in self._verdicts and place in mine:
                    continue
                if place not in self._verdicts:
                    self._faults.append(_Fault(place, complaint))
                self._settle((place,), Code.UNKNOWN, "")
                self._condemn_users(place, mine)
        return len(self._verdicts) > before

    def _named(self, piece: Places, complaint: Complaint) -> Sequence[int]:
        if 0 <= complaint.node < len(piece):
            return (piece[complaint.node],)
        return [  # an input it cannot take: those who read it cannot be had
            place for place in piece if complaint.place in self._graph.nodes[place].reads
        ]

    def _condemn_users(self, place: int, mine: Collection[int]) -> None:
        """A constant that cannot be computed takes with it the nodes that need it."""
        if place not in self._skeleton.folded:
            return
        bad = self._graph.nodes[place]
        text = (
            f"needs a constant that node {shown(bad.name)} ({shown(bad.op_type)}) computes, "
            "which is refused itself"
        )
        for user in self._graph.successors[place]:
            if user not in self._verdicts:
                self._settle((user,), Code.UNSUPPORTED_OP, text)
                self._condemn_users(user, mine)

    def _dead(self, run: Places, how: str) -> list[Places]:
        if len(run) == 1:
            self._settle(run, Code.UNKNOWN, f"the parser died on this node: {how}")
            return []
        middle = len(run) // 2
        return [run[:middle], run[middle:]]

    def _smaller(self, run: Places, piece: Places, answer: Answer) -> list[Places]:
        """The parser's candidates and the rest of a run that failed with no node to blame."""
        mine = set(run)
        lists = [
            tuple(piece[i] for i in candidate if i < len(piece) and piece[i] in mine)
            for candidate in answer.candidates
        ]
        named = {place for candidate in lists for place in candidate}
        rest = tuple(place for place in run if place not in named)
        parts = [part for part in (*lists, rest) if part]
        if len(parts) > 1 and sum(map(len, parts)) == len(run):
            return parts
        middle = len(run) // 2
        return [run[:middle], run[middle:]]

    def _without_unknown(self, run: Places) -> list[Places]:
        """The run without the nodes whose inputs cannot be declared, which get their verdicts."""
        while run:
            whole = self._skeleton.with_folded(run)
            unknown = {t for t in self._skeleton.border(whole) if not self._skeleton.knows(t)}
            if not unknown:
                return [run]
            for place in run:
                for tensor in self._graph.nodes[place].reads:
                    if tensor in unknown:
                        self._settle((place,), Code.UNKNOWN, _not_known(tensor))
            runs = self._runs(run)
            if len(runs) != 1:
                return [part for known in runs for part in self._without_unknown(known)]
            run = runs[0]
        return []

    def _runs(self, run: Places) -> list[Places]:
        """The parts of a run between the nodes that have a verdict."""
        runs: list[list[int]] = [[]]
        for place in run:
            if place in self._verdicts:
                runs.append([])
            else:
                runs[-1].append(place)
        return [tuple(part) for part in runs if part]

    def _settle(self, places: Iterable[int], code: Code, reason: str) -> None:
        for place in places:
            name = self._graph.nodes[place].name
            self._verdicts.setdefault(place, Verdict(name, code, reason))

    def _judge_faults(self) -> None:
        """Put code and words to the nodes that the parser faulted."""
        if not self._faults:
            return
        named = {fault.complaint.operator for fault in self._faults if fault.complaint.operator}
        known = self._asker.known(named)
        for place, complaint in ((fault.place, fault.complaint) for fault in self._faults):
            node = self._graph.nodes[place]
            own = node.domain in ONNX_DOMAINS or complaint.stack
            note = self._note(complaint.operator or node.op_type) if own else ""
            code = code_of(complaint, known)
            reason = reason_of(complaint, code, node, self._source, note)
            self._verdicts[place] = Verdict(node.name, code, reason)


def _not_known(tensor: str) -> str:
    return (
        f"type or rank of its input {shown(tensor)} is not known, so it cannot be asked about; "
        "give the model's shapes, or types for what makes it"
    )
