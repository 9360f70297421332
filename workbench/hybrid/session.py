"""Runs of a hybrid: parts in execution order, on shared buffers wherever shapes allow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

import numpy as np

from workbench.backends import cuda
from workbench.backends.base import Feeds, Outputs, ShapeRange
from workbench.backends.gate import Gate
from workbench.errors import RunError
from workbench.graph import TensorSpec
from workbench.hybrid.arrays import buffer
from workbench.hybrid.parts import Part
from workbench.hybrid.route import Leg, Route, by_value
from workbench.text import listed

_ROUTES = 4

Signature = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Itinerary:
    """All a session needs to know of its hybrid."""

    parts: tuple[Part, ...]
    """In execution order."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    specs: Mapping[str, TensorSpec]
    """Tensors at the cuts, inputs and outputs."""
    decided: frozenset[str]
    """Those whose shape follows from the shapes of the inputs alone."""
    constants: Mapping[str, np.ndarray]
    """Outputs that are weights or were folded."""
    ranges: Mapping[str, ShapeRange]
    layer_names: Mapping[tuple[str, str], str]
    """(part, layer in the part) -> layer in the hybrid."""

    @property
    def whole(self) -> bool:
        """Whether one part is the whole network."""
        if len(self.parts) != 1:
            return False
        (part,) = self.parts
        return {spec.name for spec in self.inputs} == set(part.subgraph.inputs) and {
            spec.name for spec in self.outputs
        } == set(part.subgraph.outputs)


class HybridSession:
    """Sessions of all parts and the buffers between them. Threads wait for one another."""

    def __init__(self, itinerary: Itinerary) -> None:
        """Open a session of every part.

        Raises:
            BackendError: a part cannot be opened here; the sessions opened before are closed.
        """
        self._plan = itinerary
        self._gate = Gate("hybrid")
        self._routes: OrderedDict[Signature, Route] = OrderedDict()
        self._shapes: dict[Signature, dict[str, tuple[int, ...]]] = {}
        self._last: dict[str, np.ndarray] | None = None
        with ExitStack() as opened, cuda.sharing() as shared:
            self._legs = [
                Leg(
                    part.name,
                    opened.enter_context(part.engine.session()),
                    part.subgraph.inputs,
                    part.subgraph.outputs,
                )
                for part in itinerary.parts
            ]
            self._opened = opened.pop_all()
        self._lane = shared.lane
        self._input_names = [spec.name for spec in itinerary.inputs]
        if itinerary.whole:
            # One part is the whole network: nothing of ours stands between a call and its session.
            self.run = self._legs[0].session.run  # type: ignore[method-assign]
            self.bind = self._legs[0].session.bind  # type: ignore[method-assign]

    def __enter__(self) -> HybridSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, feeds: Feeds) -> Outputs:
        """Outputs for the feeds, in fresh arrays; on the GPU if one of the feeds is.

        Raises:
            DataError: a missing, unknown or misfitting input.
            RunError: a part failed, or the session is closed.
        """
        with self._gate:
            ready = cuda.checked_arrays(feeds, self._plan.inputs, self._plan.ranges)
            on_device = any(map(cuda.is_device, ready.values()))
            signature = tuple(ready[name].shape for name in self._input_names)
            self._last = ready
            route = self._route(signature)
            with self._in_order():
                if route is None:
                    return self._first(signature, ready, on_device)
                for name in self._input_names:
                    cuda.copied(route.buffers[name], ready[name])
                route()
                return self._given_out(route, on_device)

    def bind(
        self, buffers: Mapping[str, np.ndarray], *, cuda_graph: bool = False
    ) -> Callable[[], None]:
        """A call that runs on these buffers; parts share further ones of the session's own.

        Where shapes at the cuts are not known beforehand, the first call finds them out. What
        crosses between parts on the GPU stays there. With all parts and buffers on the GPU the
        call only puts work on the current stream and returns.

        Args:
            buffers: one for every input and output; numpy arrays, or CuPy's.
            cuda_graph: replay all parts as one CUDA graph; the first call makes it.

        Raises:
            DataError: a buffer that is missing or does not fit.
            RunError: the session is closed, or the shape of an output depends on values; from the
                call: no graph can be made of the parts.
        """
        loose = [s.name for s in self._plan.outputs if s.name not in self._plan.decided]
        if loose:
            raise RunError(
                f"the shape of {listed(loose)} depends on values, so no buffer fits; use run",
                backend="hybrid",
            )
        with self._gate:
            given = cuda.checked_mixture(
                buffers, self._plan.inputs, self._plan.outputs, self._plan.ranges
            )
        signature = tuple(given[name].shape for name in self._input_names)
        route: Route | None = None

        def call() -> None:
            nonlocal route
            with self._gate, self._in_order():
                if route is None:
                    shapes = self._known_shapes(signature)
                    if shapes is None:
                        feeds = {name: given[name] for name in self._input_names}
                        self._first(signature, feeds, on_device=False)
                        shapes = self._shapes[signature]
                    route = self._bound(shapes, given)
                    if cuda_graph:
                        route.record(self._lane)
                route()
                for name, value in self._plan.constants.items():
                    cuda.copied(given[name], value)

        return call

    def profile(self) -> dict[str, float]:
        """Layer name -> seconds, of all parts that can tell, for the feeds of the last `run`.

        Raises:
            RunError: nothing was run yet, or the session is closed.
        """
        with self._gate:
            if self._last is None and not self._plan.whole:
                raise RunError("nothing was run yet; call run first", backend="hybrid")
            if self._last is not None:
                # Bound parts keep no account of their runs.
                with self._in_order():
                    by_value(self._legs, dict(self._last))
            found: dict[str, float] = {}
            for leg in self._legs:
                for layer, seconds in leg.session.profile().items():
                    found[self._plan.layer_names.get((leg.name, layer), layer)] = seconds
            return found

    def close(self) -> None:
        """Close the sessions of all parts; closing twice is fine."""
        if self._gate.close():
            self._routes.clear()
            self._last = None
            self._opened.close()

    def _in_order(self) -> AbstractContextManager[object]:
        """A run of all parts on one stream, where there is a GPU."""
        # ONNX Runtime keeps to one stream; on it, no part has to wait for another by events.
        return nullcontext() if self._lane is None else self._lane.entered(own=True)

    def _route(self, signature: Signature) -> Route | None:
        route = self._routes.get(signature)
        if route is not None:
            self._routes.move_to_end(signature)
            return route
        shapes = self._known_shapes(signature)
        if shapes is None:
            return None
        if len(self._routes) == _ROUTES:
            self._routes.popitem(last=False)
        route = self._routes[signature] = self._bound(shapes, {})
        return route

    def _known_shapes(self, signature: Signature) -> dict[str, tuple[int, ...]] | None:
        """Shapes of the tensors that can be bound, None before the first run of this signature."""
        known = dict(zip(self._input_names, signature, strict=True))
        for name in self._plan.decided - known.keys():
            shape = self._plan.specs[name].shape
            if shape is None or any(isinstance(dim, str) for dim in shape):
                return self._shapes.get(signature)
            known[name] = tuple(dim for dim in shape if isinstance(dim, int))
        return known

    def _bound(
        self, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, np.ndarray]
    ) -> Route:
        buffers = dict(given)
        for name, shape in shapes.items():
            if name not in buffers:
                make = cuda.empty if self._on_gpu(name) else buffer
                buffers[name] = make(self._plan.specs[name].dtype, shape)
        return Route(self._legs, buffers)

    def _on_gpu(self, name: str) -> bool:
        """Whether a tensor never leaves the GPU on its way between parts."""
        legs = [leg for leg in self._legs if name in leg.tensors]
        return bool(legs) and all(leg.on_gpu for leg in legs)

    def _first(
        self, signature: Signature, ready: dict[str, np.ndarray], on_device: bool
    ) -> Outputs:
        """A run by value, which also shows the shapes at the cuts for this signature."""
        values = by_value(self._legs, dict(ready))
        if len(self._shapes) > 64 * _ROUTES:
            self._shapes.clear()
        self._shapes[signature] = {
            name: values[name].shape for name in {*self._plan.decided, *ready} if name in values
        }
        return self._handed_out(lambda name: self._own(name, values, ready), on_device)

    def _own(self, name: str, values: Mapping[str, np.ndarray], ready: Feeds) -> np.ndarray:
        return values[name].copy() if name in ready else values[name]

    def _given_out(self, route: Route, on_device: bool) -> Outputs:
        return self._handed_out(route.taken, on_device)

    def _handed_out(self, taken: Callable[[str], np.ndarray], on_device: bool) -> Outputs:
        """The outputs, each where the caller's arrays are."""
        found: Outputs = {}
        for spec in self._plan.outputs:
            constant = self._plan.constants.get(spec.name)
            value = taken(spec.name) if constant is None else constant.copy()
            if cuda.is_device(value) and not on_device:
                value = cuda.to_host(value, spec.dtype)
            elif on_device and not cuda.is_device(value):
                value = cuda.to_device(value)
            found[spec.name] = value
        return found
