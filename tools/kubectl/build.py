"""Build the pinned kubectl from source into a cache outside the checkout; refuses to take a binary from anywhere.

Needs `go`. Prints the path; a kubectl that is there already is kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

MODULE = Path(__file__).resolve().parent


def version() -> str:
    """Return the pinned Kubernetes version, such as v1.35.10: the module k8s.io/kubectl v0.X.Y is kubectl v1.X.Y."""
    found = re.search(r"^\s*k8s\.io/kubectl v0\.(\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if not found:
        sys.exit("tools/kubectl/go.mod pins no k8s.io/kubectl")
    return f"v1.{found[1]}"


def cached_kubectl() -> Path:
    """Return where this checkout's kubectl lies once it is built; other sources or pins have another place."""
    sources = b"".join((MODULE / name).read_bytes() for name in ("go.sum", "go.mod", "main.go"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(sources).hexdigest()[:12]
    return cache / "kkp-cni-migration" / "kubectl" / f"{version()}-{key}" / "kubectl"


def build(target: Path) -> None:
    """Leave kubectl at the target; whoever looks there meanwhile sees none or a whole one."""
    if shutil.which("go") is None:
        sys.exit("go is needed to build kubectl and is not on the PATH; or set KUBECTL to the path of a kubectl")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".kubectl.{os.getpid()}")
    major, minor, _ = version().removeprefix("v").split(".")
    package = "k8s.io/component-base/version"
    stamps = {"gitVersion": version(), "gitMajor": major, "gitMinor": minor}
    linker = " ".join(("-s -w", *(f"-X {package}.{name}={value}" for name, value in stamps.items())))
    command = ["go", "build", "-trimpath", "-ldflags", linker, "-o", str(draft), "."]
    # go wants a home for its caches, which a bare container may not name.
    environment = {"HOME": str(Path.home()), **os.environ, "CGO_ENABLED": "0"}
    try:
        subprocess.run(command, cwd=MODULE, env=environment, check=True)
        draft.replace(target)
    except subprocess.CalledProcessError as error:
        sys.exit(f"go build of kubectl {version()} failed with exit code {error.returncode}")
    finally:
        draft.unlink(missing_ok=True)


def main() -> None:
    """Leave the pinned kubectl in the cache and print its path."""
    target = cached_kubectl()
    if not target.exists():
        started = time.monotonic()
        print(f"Building kubectl {version()} (once) ...", flush=True)
        build(target)
        print(f"Built in {time.monotonic() - started:.0f} s", flush=True)
    print(target)


if __name__ == "__main__":
    main()
