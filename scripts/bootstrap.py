"""Make or refresh `.venv` with the workbench in it. Standard library only; run by the Makefile.

    python3 scripts/bootstrap.py [EXTRA ...]

Does nothing when pyproject.toml and the extras asked for are as at the last install.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST, NEWEST = (3, 11), (3, 13)


def main(extras: list[str]) -> int:
    """Exit status: 0 once `.venv` holds the workbench with these extras."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        return fail(
            f"Python 3.11 to 3.13 is needed, this is {found}; run `make PYTHON=python3.12 ...`"
        )
    wanted = (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    digest = hashlib.sha256(wanted).hexdigest()
    stamps = {extra: VENV / f".installed-{extra or 'base'}" for extra in ["", *extras]}
    if all(stamp.is_file() and stamp.read_text() == digest for stamp in stamps.values()):
        return 0
    if not PYTHON.exists() and not make_venv():
        return 1
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    print(
        f"installing the workbench and what it needs into {VENV.name} (minutes the first time)",
        flush=True,
    )
    done = subprocess.run(
        [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", target]
    )
    if done.returncode:
        return fail(
            "the install failed; its last lines are above. Nothing was changed outside .venv"
        )
    for stamp in stamps.values():
        stamp.write_text(digest)
    return 0


def make_venv() -> bool:
    """Whether `.venv` exists afterwards, with a pip in it."""
    if subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True).returncode == 0:
        return True
    # Debian and Ubuntu ship Python without `ensurepip`: make it bare and fill it with another pip.
    shutil.rmtree(VENV, ignore_errors=True)
    bare = subprocess.run([sys.executable, "-m", "venv", "--without-pip", VENV])
    if bare.returncode == 0:
        for pip in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
            if (
                shutil.which(pip[0])
                and not subprocess.run(
                    [*pip, "--python", PYTHON, "install", "--quiet", "pip"], capture_output=True
                ).returncode
            ):
                return True
        if (
            shutil.which("uv")
            and not subprocess.run(["uv", "pip", "install", "--python", PYTHON, "pip"]).returncode
        ):
            return True
    shutil.rmtree(VENV, ignore_errors=True)
    fail(
        "no virtual environment could be made: this Python has neither ensurepip nor pip; "
        "on Debian or Ubuntu run `apt-get install python3-venv`, or put `uv` on the PATH"
    )
    return False


def fail(message: str) -> int:
    """Say what went wrong; the exit status for it."""
    print(f"bootstrap: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
