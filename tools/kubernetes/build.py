"""Build the pinned Kubernetes programs from source into a cache outside the checkout; refuses any ready-made binary.

    build.py kubectl          kubectl alone
    build.py control-plane    kubectl, kube-apiserver, kube-controller-manager and etcd

Needs `go`. Prints the folder, which is also what KUBEBUILDER_ASSETS may name; a program that is there already is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

MODULE = Path(__file__).resolve().parent
PACKAGES = {
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "etcd": "go.etcd.io/etcd/server/v3",
}
TARGETS = {"kubectl": ("kubectl",), "control-plane": tuple(PACKAGES)}


def version() -> str:
    """Return the pinned Kubernetes version, such as v1.35.4."""
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes (v[\d.]+)\b", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if not found:
        sys.exit("tools/kubernetes/go.mod pins no k8s.io/kubernetes")
    return found[1]


def cache() -> Path:
    """Return the folder of what this checkout builds; other pins have another one."""
    pins = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "kkp-cni-migration" / "kubernetes" / f"{version()}-{hashlib.sha256(pins).hexdigest()[:12]}"


def build(programs: list[str], *, lock: int) -> None:
    """Leave the programs in the cache; whoever looks there meanwhile sees none of them, or whole ones.

    The compiler holds the lock too: if this process is killed, the next build waits for it, and clears up.
    """
    for left in cache().glob(".draft-*"):
        shutil.rmtree(left, ignore_errors=True)
    drafts = cache() / f".draft-{os.getpid()}"
    drafts.mkdir()
    # One command for all of them shares the work; etcd's program would be called v3 by its package.
    command = ["go", "build", "-trimpath", "-ldflags", _linker_flags(), "-o", f"{drafts}{os.sep}"]
    # go wants a home for its caches, which a bare container may not name.
    environment = {"HOME": str(Path.home()), **os.environ, "CGO_ENABLED": "0"}
    try:
        packages = [PACKAGES[name] for name in programs]
        subprocess.run([*command, *packages], cwd=MODULE, env=environment, check=True, pass_fds=(lock,))
        for name in programs:
            built = drafts / _name_of_the_built(PACKAGES[name])
            built.replace(cache() / name)
    except subprocess.CalledProcessError as error:
        sys.exit(f"go build of {', '.join(programs)} {version()} failed with exit code {error.returncode}")
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


def _linker_flags() -> str:
    major, minor, _ = version().removeprefix("v").split(".")
    stamps = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    package = "k8s.io/component-base/version"
    return " ".join(("-s -w", *(f"-X {package}.{name}={value}" for name, value in stamps.items())))


def _name_of_the_built(package: str) -> str:
    """Return the name that go gives a program: the last part of its package that is no major version."""
    return [part for part in package.split("/") if not re.fullmatch(r"v\d+", part)][-1]


def main() -> None:
    """Leave the programs of the target that the argument names in the cache, and print the folder."""
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: build.py {'|'.join(TARGETS)}")
    try:
        cache().mkdir(parents=True, exist_ok=True)
        opened = (cache() / ".lock").open("w")
    except OSError as error:
        sys.exit(f"cannot write to {cache()}: {error.strerror}; XDG_CACHE_HOME may name another place")
    with opened as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in TARGETS[sys.argv[1]] if not (cache() / name).exists()]
        if missing and shutil.which("go") is None:
            sys.exit(
                f"go is needed to build {', '.join(missing)}, and is not on the PATH (1.25, or one that fetches it)"
            )
        if missing:
            started = time.monotonic()
            print(f"Building {', '.join(missing)} {version()} (once, some minutes) ...", flush=True)
            build(missing, lock=lock.fileno())
            print(f"Built in {time.monotonic() - started:.0f} s", flush=True)
    print(cache())


if __name__ == "__main__":
    main()
