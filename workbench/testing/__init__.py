"""Contracts as functions anyone can run; `check_backend` says what a backend must keep.

Each check builds small networks of its own and raises `AssertionError` with what was expected and
what came. Correct is what `Reference` gives.

Example:
    >>> from workbench.backends import get
    >>> check_backend(get("reference"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from workbench.backends.base import Backend
from workbench.testing import building, feeding, running, sessions
from workbench.testing.building import accounts_for
from workbench.testing.networks import network, small_network

__all__ = ["Check", "accounts_for", "check_backend", "checks", "network", "small_network"]

Check = Callable[[Backend], None]


def check_backend(backend: Backend, *, runs: bool = True) -> None:
    """Run every check on `backend`.

    Args:
        backend: what is checked.
        runs: False leaves out what needs a run, for a backend whose device is not here.

    Raises:
        AssertionError: the first rule that is broken.
    """
    for check in checks(runs=runs).values():
        check(backend)


def checks(*, runs: bool = True) -> Mapping[str, Check]:
    """The checks by name, in the order `check_backend` runs them."""
    return MappingProxyType({**_WITHOUT_RUN, **(_WITH_RUN if runs else {})})


_WITHOUT_RUN: Mapping[str, Check] = {
    "identity": building.check_identity,
    "capability": building.check_capability,
    "arguments": building.check_arguments,
    "layers": building.check_layers,
    "plan": building.check_plan,
}
_WITH_RUN: Mapping[str, Check] = {
    "results": running.check_results,
    "types": running.check_types,
    "special_values": running.check_special_values,
    "dynamic_batch": running.check_dynamic_batch,
    "reload": running.check_reload,
    "repeatable": running.check_repeatable,
    "memory_layouts": feeding.check_memory_layouts,
    "bad_feeds": feeding.check_bad_feeds,
    "ownership": feeding.check_ownership,
    "binding": feeding.check_binding,
    "profile": sessions.check_profile,
    "close": sessions.check_close,
    "threads": sessions.check_threads,
}
