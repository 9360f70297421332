"""Names for the types of TensorRT's Python bindings; no TensorRT is imported here.

They stand for anything. `scripts/gpu/check_types.py` puts the real types of each version in their
place and checks this package against them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Library: TypeAlias = Any
"""The imported TensorRT."""
Builder: TypeAlias = Any
Config: TypeAlias = Any
Network: TypeAlias = Any
Engine: TypeAlias = Any
Context: TypeAlias = Any
