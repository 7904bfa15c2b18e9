"""Where the tests find real programs: kubectl, and a control plane of kube-apiserver, kube-controller-manager and etcd."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools.kubernetes.build import PACKAGES, cache

NO_KUBECTL = "no kubectl: set KUBECTL, put one on the PATH, or build the pinned one with `make kubectl`"
_ASSETS = os.environ.get("KUBEBUILDER_ASSETS")
NO_CONTROL_PLANE = (
    f"no kube-apiserver, kube-controller-manager and etcd {f'in KUBEBUILDER_ASSETS={_ASSETS}' if _ASSETS else 'here'}: "
    "set KUBEBUILDER_ASSETS to a folder that has them, put them on the PATH, or build the pinned ones with "
    "`make control-plane`"
)
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


def _all_in(path: str) -> dict[str, Path] | None:
    found = {name: shutil.which(name, path=path) for name in CONTROL_PLANE}
    return {name: Path(where) for name, where in found.items() if where} if all(found.values()) else None
