"""Where a plan was made and where it runs: product, version, GPU. No TensorRT is asked.

Rules by NVIDIA's developer guide: a plan runs on the version and the GPU that made it; one with
``version_compatible`` on later versions up to the next major one; one for ``AMPERE_PLUS`` on any
GPU of compute capability 8.0 and more, one for ``SAME_COMPUTE_CAPABILITY`` on any of the same.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.backends import cuda, gpus
from workbench.backends.tensorrt import adapter
from workbench.errors import BackendError
from workbench.text import shown

_BACKEND = "tensorrt"
_ELSEWHERE = (
    "its plan and layers are complete. Run this network here with backend openvino or "
    "onnxruntime, or take the plan to a machine with a GPU it was built for"
)
_CAPABILITY = re.compile(r" (\d+)\.(\d+) \d+ SM$")


@dataclass(frozen=True, slots=True)
class Made:
    """By which TensorRT a plan was made, on which GPU, and for which others."""

    package: str
    """Importable name of the TensorRT that runs it."""
    title: str
    """Product and version, e.g. ``TensorRT 8.6.1``."""
    system: str
    """Operating system and processor, e.g. ``Linux x86_64``."""
    device: str
    """The GPU it was built on, as `gpus.Gpu` prints it; empty where there was none."""
    targets: tuple[str, ...] = ()
    """GPU architectures it is for; empty where it is for `device`."""
    hardware: str = ""
    """See `options.Options`."""
    version_compatible: bool = False

    def record(self) -> dict[str, Any]:
        """As JSON values; `of` gives it back."""
        return {
            "product": adapter.product(self.package),
            "made_with": self.title,
            "system": self.system,
            "device": self.device,
            "targets": list(self.targets),
            "hardware": self.hardware,
            "version_compatible": self.version_compatible,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any], package: str) -> Made:
        """What `record` was made from, to be run by a package."""
        return cls(
            package, record["made_with"], record["system"], record["device"],
            tuple(record["targets"]), record["hardware"], record["version_compatible"],
        )  # fmt: skip


def here(package: str) -> Made:
    """What a plan made now would say."""
    found = gpus.devices()
    device = str(found[0]) if found else ""
    return Made(package, adapter.title(package), _system(), device)


def refuse_elsewhere(made: Made) -> None:
    """Refuse a plan that this version or this GPU cannot run.

    A plan for architectures that are named is taken without a GPU too, to be looked at.

    Raises:
        BackendError: lists what differs, as it is in the plan and as it is here.
    """
    now = here(made.package)
    different = []
    if made.title != now.title and not (made.version_compatible and _later(made, now)):
        different.append(f"made with {shown(made.title)}, here is {shown(now.title)}")
    if made.system != now.system:
        different.append(f"made on {shown(made.system)}, here is {shown(now.system)}")
    if not made.targets and not _suits(made, now.device):
        different.append(f"made for {_gpu(made.device)}, here is {_gpu(now.device)}")
    if different:
        raise BackendError(
            f"the plan was built for something else ({'; '.join(different)}); build the engine "
            "again here",
            backend=_BACKEND,
        )


def why_not_here(made: Made) -> str:
    """Why a plan that was not refused still cannot run, or ``""``."""
    reason = cuda.why_not()
    if reason:
        return f"no usable NVIDIA GPU: {reason}; {_ELSEWHERE}"
    (gpu, *_) = gpus.devices()
    major, minor = gpu.compute_capability
    if made.targets and f"SM{major}{minor}" not in made.targets:
        return (
            f"it is for GPUs of {', '.join(made.targets)}, and {shown(gpu.name)} is "
            f"SM{major}{minor}; {_ELSEWHERE}"
        )
    return ""


def _suits(made: Made, device: str) -> bool:
    if made.device == device:
        return True
    there, now = _capability(made.device), _capability(device)
    if there is None or now is None:
        return False
    if made.hardware == "AMPERE_PLUS":
        return now >= (8, 0)
    return made.hardware == "SAME_COMPUTE_CAPABILITY" and there == now


def _later(made: Made, now: Made) -> bool:
    """Whether the version here is the one of the plan or later, and at most one major further."""
    there, new = _numbers(made.title), _numbers(now.title)
    # After TensorRT 8 came 10; 9 was for few machines.
    allowed = {8: 10}.get(there[0], there[0] + 1)
    return there <= new and new[0] <= allowed


def _numbers(title: str) -> tuple[int, ...]:
    found = re.search(r"(\d+(?:\.\d+)+)$", title)
    return tuple(map(int, found[1].split("."))) if found else (0,)


def _capability(device: str) -> tuple[int, int] | None:
    found = _CAPABILITY.search(device)
    return (int(found[1]), int(found[2])) if found else None


def _gpu(device: str) -> str:
    return shown(device) or "a machine without a GPU"


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"
