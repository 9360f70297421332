"""Checks of the life of a session: profile, close, threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from workbench.backends.base import Backend, Session
from workbench.errors import RunError
from workbench.testing.expecting import equal, expect, refused
from workbench.testing.networks import picture, small_network
from workbench.text import listed

_THREADS = 4
_RUNS_PER_THREAD = 20


def check_profile(backend: Backend) -> None:
    """Times are of known layers, in seconds, and leave the results alone."""
    engine = backend.build(small_network())
    with engine.session() as session:
        expected = session.run({"x": picture()})
        times = session.profile()
        unknown = times.keys() - {node.name for node in engine.layers().nodes}
        expect(not unknown, f"times of layers that are none: {listed(unknown)}")
        expect(all(0 <= t < 60 for t in times.values()), f"times are no seconds: {times}")
        expect(equal(session.run({"x": picture()}), expected), "a profile changes results")


def check_close(backend: Backend) -> None:
    """A closed session refuses everything clearly; its engine goes on."""
    engine = backend.build(small_network())
    x = picture()
    session = engine.session()
    with session as entered:
        expect(entered is session, "a session gives another object to with")
        expected = session.run({"x": x})
    bound = {"x": x, **expected}
    refused(RunError, lambda: session.run({"x": x}), "closed")
    refused(RunError, lambda: _bound_call(session, bound), "closed")
    session.close()
    with engine.session() as another:
        call = another.bind({name: value.copy() for name, value in bound.items()})
        expect(equal(another.run({"x": x}), expected), "no good run after closing a session")
    refused(RunError, call, "closed")


def _bound_call(session: Session, buffers: Mapping[str, np.ndarray]) -> None:
    session.bind(buffers)()


def check_threads(backend: Backend) -> None:
    """Runs of one session from several threads are right, or refused clearly."""
    with backend.build(small_network()).session() as session:
        feeds = [{"x": picture(seed=i)} for i in range(_THREADS)]
        expected = [session.run(feed) for feed in feeds]
        wrong: list[str] = []

        def work(i: int) -> None:
            for _ in range(_RUNS_PER_THREAD):
                try:
                    if not equal(session.run(feeds[i]), expected[i]):
                        wrong.append(f"thread {i} got another result")
                except RunError:
                    continue
                except Exception as error:
                    wrong.append(f"thread {i} got {error!r}")

        threads = [threading.Thread(target=work, args=(i,)) for i in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(not wrong, listed(wrong))
