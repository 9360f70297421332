"""`Study`: every sample of every configuration, and the questions it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import StudyError
from workbench.measure import (
    Accuracy,
    Comparison,
    Latency,
    Measurement,
    Noise,
    compare,
)
from workbench.study.environment import Environment
from workbench.text import listed, nearest, shown

if TYPE_CHECKING:
    import pyarrow

Key = tuple[str, int, str]
"""Model, batch and variant: what names a configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One way to run one network at one batch, and what became of it."""

    model: str
    batch: int
    variant: str
    """Names it among those of the same model and batch: ``openvino, min 3``."""
    backend: str
    """Builds and runs the engines, or the whole network."""
    backend_version: str = ""
    device: str = ""
    """Hardware that ran it."""
    native: str = ""
    """Runs what is outside engines; empty where nothing is."""
    native_version: str = ""
    threshold: int | None = None
    """min_subgraph_size; None for a whole network without a partition."""
    level: int | None = None
    """Optimisation level asked for; None is the backend's default."""
    policy: str = ""
    source: str = ""
    """Who said which nodes can go into engines."""
    engines: int | None = None
    """Engines that were built; None for a whole network without a partition."""
    engine_nodes: int | None = None
    native_nodes: int | None = None
    """Operator nodes outside engines; folded ones are counted nowhere."""
    build_failures: int = 0
    """Engines that could not be built; their nodes run natively."""
    build_seconds: float | None = None
    weights: str = "unknown"
    same_as: str = ""
    """Variant with exactly the same partition; it was built and measured once for both."""
    precision: str = ""
    """What was asked for: ``int8``; empty where the network was run as it is."""
    met: float | None = None
    """Share of the nodes in engines, or of all of a whole network, that compute in what was asked
    for; None where the engines do not say."""
    wider: float | None = None
    """Share that compute in more bits than asked for."""
    replaced: float | None = None
    """Share that compute in another type of the same width, or in fewer bits."""
    kept: float | None = None
    """Share that the transform left in another precision, for a reason."""
    around: float | None = None
    """Share that other layers do around a product, in float: scales, casts, activations."""
    instead: str = ""
    """What those wider or replaced compute in: ``fp32``."""
    failed: str = ""
    """Why it could not be measured; empty if it could."""

    @property
    def key(self) -> Key:
        """What names it in its study."""
        return self.model, self.batch, self.variant

    @property
    def whole(self) -> bool:
        """Whether it runs the network without a partition."""
        return self.threshold is None

    @property
    def achieved(self) -> str:
        """What became of the precision asked for, in words: ``met 96 %, kept 4 %``, ``met 0 %,
        wider 100 %, in fp32``.
        """
        names = ("met", "wider", "replaced", "kept", "around")
        shares: dict[str, float] = {name: getattr(self, name) or 0.0 for name in names}
        if self.met is None:
            return ""
        told = {name: share for name, share in shares.items() if share or name == "met"}
        left = 1 - sum(told.values())
        told |= {"unknown": left} if left > 1e-9 else {}
        words = [f"{name} {100 * share:.0f} %" for name, share in told.items()]
        return ", ".join([*words, f"in {self.instead}"] if self.instead else words)

    @property
    def departs(self) -> bool:
        """Whether nodes compute in another precision than asked for, without being left out."""
        return bool(self.wider or self.replaced)

    @property
    def measured_by(self) -> str:
        """Backends, versions and device in words."""
        parts = [f"{self.backend} {self.backend_version}".strip()]
        if self.native and not self.whole:
            parts.append(f"rest by {self.native} {self.native_version}".strip())
        return ", ".join([*parts, self.device] if self.device else parts)


@dataclass(frozen=True)
class Study:
    """Configurations, every sample that was taken of them, and what they were taken on."""

    measurements: tuple[Measurement, ...]
    environment: Environment
    configurations: tuple[Configuration, ...]
    """In the order tables and figures have."""
    baselines: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Model -> variant that ratios of latency stand against."""
    complete: bool = True
    """False while configurations of its design are still to be measured."""

    def __post_init__(self) -> None:
        if len(self._by_key) != len(self.configurations):
            raise StudyError("a study names one configuration twice")
        strange = [m.variant for m in self.measurements if self._key(m) not in self._by_key]
        if strange:
            raise StudyError(f"measurements of configurations it does not have: {listed(strange)}")

    @staticmethod
    def _key(of: Measurement) -> Key:
        return of.model, int(of.details.get("batch", 1)), of.variant

    @cached_property
    def _by_key(self) -> Mapping[Key, Configuration]:
        return {one.key: one for one in self.configurations}

    @cached_property
    def _found(self) -> Mapping[tuple[Key, str], list[Measurement]]:
        found: dict[tuple[Key, str], list[Measurement]] = {}
        for one in self.measurements:
            found.setdefault((self._key(one), one.metric), []).append(one)
        return found

    @property
    def models(self) -> tuple[str, ...]:
        """Networks, in order."""
        return tuple(dict.fromkeys(one.model for one in self.configurations))

    def batches(self, model: str) -> tuple[int, ...]:
        """Batches that a network was run at, ascending."""
        return tuple(sorted({one.batch for one in self.configurations if one.model == model}))

    def select(self, model: str, batch: int | None = None) -> tuple[Configuration, ...]:
        """Configurations of a network at one batch (its first one if none is given).

        Raises:
            StudyError: there are none.
        """
        batches = self.batches(model)
        if not batches:
            raise StudyError(
                f"the study has no network {shown(model)}{nearest(model, self.models)}; "
                f"it has {listed(self.models)}"
            )
        batch = batches[0] if batch is None else batch
        if batch not in batches:
            raise StudyError(
                f"{shown(model)} was not run at batch {batch}; there is {listed(batches)}"
            )
        return tuple(c for c in self.configurations if c.model == model and c.batch == batch)

    def configuration(self, model: str, batch: int, variant: str) -> Configuration:
        """The configuration of this name.

        Raises:
            StudyError: there is none.
        """
        try:
            return self._by_key[model, batch, variant]
        except KeyError:
            known = [one.variant for one in self.select(model, batch)]
            raise StudyError(
                f"no configuration {shown(variant)}{nearest(variant, known)} of {shown(model)}"
            ) from None

    def found(self, of: Configuration, metric: str) -> list[Measurement]:
        """Measurements of a configuration, or of the one it is the same as; empty if none."""
        key = (of.model, of.batch, of.same_as or of.variant)
        return self._found.get((key, metric), [])

    def latency(self, of: Configuration) -> Latency | None:
        """Its latency with every sample of both clocks, or None if it was not measured."""
        walls, cpus = self.found(of, "latency"), self.found(of, "cpu_time")
        if not walls or not cpus:
            return None
        details = walls[0].details
        noise = details.get("noise")
        return Latency(
            of.variant,
            walls[0].samples,
            cpus[0].samples,
            details["calls"],
            details["run"],
            warmup_calls=details["warmup_calls"],
            warm=details["warm"],
            noise=Noise(**noise) if noise else None,
        )

    def accuracy(self, of: Configuration) -> Accuracy | None:
        """Its accuracy with the outcome of every sample, or None if there were no labels."""
        found = {
            int(m.details["k"]): m for metric in ("top1", "top5") for m in self.found(of, metric)
        }
        if not found:
            return None
        details = found[min(found)].details
        hits = {k: tuple(bool(x) for x in m.samples) for k, m in found.items()}
        return Accuracy(
            hits, details["data"], details["classes"], details["nonfinite"], details["ties"]
        )

    def deviations(self, of: Configuration) -> list[Measurement]:
        """Its deviation, a measurement of metric ``snr`` for each output; see `details`."""
        return self.found(of, "snr")

    def baseline(self, model: str, batch: int) -> Configuration | None:
        """What ratios of latency of a network stand against, or None if it was not measured."""
        return self._by_key.get((model, batch, self.baselines.get(model, "")))

    @cached_property
    def _comparisons(self) -> dict[tuple[Key, str], Comparison | None]:
        return {}

    def against_baseline(self, of: Configuration, clock: str = "wall") -> Comparison | None:
        """Its latency over the baseline's, or None where one of the two was not measured."""
        asked = (of.key, clock)
        if asked not in self._comparisons:
            other = self.baseline(of.model, of.batch)
            mine, base = self.latency(of), self.latency(other) if other else None
            if mine and base and mine.run == base.run:
                by = "cpu" if clock == "cpu" else "wall"
                self._comparisons[asked] = compare(mine.by(by), base.by(by))
            else:
                self._comparisons[asked] = None
        return self._comparisons[asked]

    def table(self) -> pyarrow.Table:
        """One flat row for each configuration; see `workbench.study.tables.COLUMNS`."""
        from workbench.study.tables import table

        return table(self)

    def text(self, *, width: int = 120) -> str:
        """The table for a terminal of this width."""
        from workbench.study.tables import text

        return text(self, width=width)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it: ``.json`` and ``.parquet`` hold every sample, ``.csv`` the table only.

        The file appears whole or not at all.

        Raises:
            StudyError: another suffix, or a file that cannot be written.
        """
        from workbench.study.files import save

        return save(self, Path(path))

    def fields(self) -> dict[str, Any]:
        """Everything it holds, for a file."""
        from dataclasses import asdict

        return {
            "environment": asdict(self.environment),
            "baselines": dict(self.baselines),
            "complete": self.complete,
            "configurations": [asdict(one) for one in self.configurations],
            "measurements": [asdict(one) for one in self.measurements],
        }

    def __str__(self) -> str:
        return self.text()


def load(path: str | os.PathLike[str]) -> Study:
    """The study of a file that `Study.save` wrote, or of the journal of one that is not finished.

    Raises:
        StudyError: no such file, a CSV file (which holds no samples), or not a study.
    """
    from workbench.study.files import read

    return read(Path(path))
