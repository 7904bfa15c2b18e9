"""Where the tests find real programs: kubectl, a control plane (kube-apiserver and more), PostgreSQL and Redis."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from tools.kubernetes.build import PACKAGES, cache

NO_KUBECTL = "no kubectl: set KUBECTL, put one on the PATH, or build the pinned one with `make kubectl`"
_ASSETS = os.environ.get("KUBEBUILDER_ASSETS")
NO_CONTROL_PLANE = (
    f"no kube-apiserver, kube-controller-manager and etcd {f'in KUBEBUILDER_ASSETS={_ASSETS}' if _ASSETS else 'here'}: "
    "set KUBEBUILDER_ASSETS to a folder that has them, put them on the PATH, or build the pinned ones with "
    "`make control-plane`"
)
NO_POSTGRES = (
    "no initdb and postgres: install Debian's package `postgresql`, or set POSTGRES_BIN to the folder that has them"
)
NO_REDIS = "no redis-server: install Debian's package `redis-server`, or put one on the PATH"
NO_BROWSER = "no chromium on the PATH, or no `playwright` to drive it: install Debian's package `chromium`"
CONTROL_PLANE = tuple(name for name in PACKAGES if name != "kubectl")


def find_kubectl() -> Path | None:
    """Return the path of a kubectl, or None if this machine has none. A KUBECTL that names nothing counts as none."""
    named = os.environ.get("KUBECTL")
    if named:
        return Path(named) if shutil.which(named) else None
    built = cache() / "kubectl"
    found = built if built.exists() else shutil.which("kubectl")
    return Path(found) if found else None


def find_control_plane() -> dict[str, Path] | None:
    """Return the programs of a control plane by name, or None if one of them is missing.

    A KUBEBUILDER_ASSETS (the convention of controller-runtime's envtest) that lacks one counts as none.
    """
    if _ASSETS:
        return _all_in(_ASSETS)
    return _all_in(str(cache())) or _all_in(os.environ.get("PATH", ""))


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None; Debian keeps them off the PATH. The newest version first."""
    named = os.environ.get("POSTGRES_BIN")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [Path(named)] if named else [*packaged, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((each for each in candidates if (each / "initdb").exists() and (each / "postgres").exists()), None)


def find_redis() -> Path | None:
    """Return the path of a redis-server, or None if this machine has none."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def find_browser() -> Path | None:
    """Return the path of the system's chromium, or None without one or without what drives it."""
    found = shutil.which("chromium")
    return Path(found) if found and find_spec("playwright") else None


def _all_in(path: str) -> dict[str, Path] | None:
    found = {name: shutil.which(name, path=path) for name in CONTROL_PLANE}
    return {name: Path(where) for name, where in found.items() if where} if all(found.values()) else None
