"""Where the tests find a real kubectl: the environment variable KUBECTL, else what `make kubectl` built, else the PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools.kubectl.build import cached_kubectl

MISSING = "no kubectl: set KUBECTL, put one on the PATH, or build the pinned one with `make kubectl`"


def find_kubectl() -> Path | None:
    """Return the path of a kubectl, or None if this machine has none. A KUBECTL that names nothing counts as none."""
    named = os.environ.get("KUBECTL")
    if named:
        return Path(named) if shutil.which(named) else None
    if cached_kubectl().exists():
        return cached_kubectl()
    on_path = shutil.which("kubectl")
    return Path(on_path) if on_path else None
