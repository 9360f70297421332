"""Build: phases, a log, and a way to stop."""

from __future__ import annotations

import time

import ipywidgets as ipw

from workbench import markup
from workbench.errors import CancelledError
from workbench.progress import Event
from workbench.widgets.desk import Desk, titled
from workbench.widgets.jobs import Job

SHOWN_LINES = 80
_PAUSE = 0.15


class BuildPanel:
    """Starts and stops a build, and says how it goes. Time passed, never a made-up percentage."""

    def __init__(self, desk: Desk) -> None:
        """Nothing runs."""
        self.desk = desk
        self.build = ipw.Button(
            description="Build and measure", button_style="primary", icon="play",
            layout=ipw.Layout(flex="1"),
        )  # fmt: skip
        self.cancel = ipw.Button(
            description="Cancel", icon="stop", disabled=True, layout=ipw.Layout(width="90px")
        )
        self.phase = ipw.HTML(_status("Nothing is built yet"))
        self.bar = ipw.IntProgress(layout=ipw.Layout(width="100%", display="none"))
        self.log = ipw.HTML()
        self._shown = (0.0, "")
        self.build.on_click(desk.on(desk.state.start))
        self.cancel.on_click(desk.on(self._stop))
        folded = ipw.Accordion([self.log], titles=("Log",), selected_index=None)
        self.widget = titled(
            "Build", ipw.HBox([self.build, self.cancel]), self.phase, self.bar, folded
        )

    def _stop(self) -> None:
        job = self.desk.state.job
        if job is not None and job.running:
            job.cancel.set()
            self.phase.value = _status("stopping")

    def refresh(self) -> None:
        """Show how the job goes; not more often than anybody can read."""
        job = self.desk.state.job
        if job is None:
            return
        now, last = time.monotonic(), job.log[-1][1] if job.log else Event("starting")
        step = f"{last.phase} {last.detail}"
        if job.running and step == self._shown[1] and now - self._shown[0] < _PAUSE:
            return
        self._shown = now, step
        self.build.disabled = job.running
        self.cancel.disabled = not job.running
        self._steps(last, job)
        self.phase.value = _status(_words(job))
        lines = list(job.log)[-SHOWN_LINES:]
        text = "<br>".join(f"{seconds:6.1f} s  {_line(event)}" for seconds, event in lines)
        self.log.value = f'<div class="workbench-log"><pre>{text}</pre></div>'

    def _steps(self, event: Event, job: Job) -> None:
        known = job.running and event.total
        self.bar.layout.display = "" if known else "none"
        if known:
            self.bar.max, self.bar.value = event.total, event.done or 0


def _words(job: Job) -> str:
    if job.running:
        event = job.log[-1][1] if job.log else Event("starting")
        done, total = event.done, event.total
        steps = "" if done is None or total is None else f" {min(done + 1, total)} of {total}"
        detail = f": {event.detail}" if event.detail else ""
        return f"{event.phase}{steps}{detail} ({job.seconds:.0f} s)"
    if job.error is None:
        return f"done in {job.seconds:.1f} s"
    if isinstance(job.error, CancelledError):
        return "cancelled; everything finished before is kept"
    return "failed; the reason is above"


def _line(event: Event) -> str:
    steps = f"{event.done}/{event.total} " if event.total else ""
    return markup.escaped(f"{event.phase} {steps}{event.detail}")


def _status(text: str) -> str:
    return f'<div role="status">{markup.escaped(text)}</div>'
