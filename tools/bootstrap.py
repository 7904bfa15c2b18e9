"""Leave a virtual environment in `.venv` that holds exactly what the lock files pin, and the project itself.

Needs nothing but Python 3.11 or newer with its `venv` module, and refuses to start without. Two runs at once are fine:
the second one waits, and then finds the work done. Old Pythons must be able to read it, to say that they are too old.
"""

import fcntl
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}


def main():
    """Leave the environment that the first argument names, `runtime` or `dev`, and the stamp that the second names."""
    what, stamp = sys.argv[1], ROOT / sys.argv[2]
    require_python()
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            install(what, stamp)


def require_python():
    """End with one clear line if this Python can't make the environment."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST:
        sys.exit(f"Python 3.11 or newer is needed, this is {found}; name another: make PYTHON=python3.12")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(f"Python {found} lacks its venv module; on Debian and Ubuntu: apt-get install python3-venv")


def install(what, stamp):
    """Leave the packages of this lock in the environment, made anew unless it was made from the same locks."""
    lock_file = ROOT / LOCKS[what]
    started = time.monotonic()
    print(f"Installing {lock_file.name} into {VENV.name} (once) ...", flush=True)
    python = VENV / "bin" / "python"
    if not is_usable(python, key=stamp.name.split("-", 1)[1]):
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet")
    # Python compiles what is imported; compiling everything beforehand takes as long again as the rest.
    # The lock is whole. pip's resolver, which has nothing to add, would want a hash of sqlalchemy[asyncio]'s newest
    # release before it sees which one is pinned.
    run(*pip, "--no-compile", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock_file))
    run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    for included in LOCKS if what == "dev" else (what,):
        stamp.with_name(stamp.name.replace(what, included, 1)).touch()
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def is_usable(python, *, key):
    """Tell whether the environment holds nothing of other locks, and its Python starts and is new enough."""
    if any(not stamp.name.endswith(key) for stamp in (*VENV.glob(".runtime-*"), *VENV.glob(".dev-*"))):
        return False
    check = f"import pip, sys; sys.exit(sys.version_info < {OLDEST})"
    command = (str(python), "-c", check)
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(*command):
    """Run a command to its end; end with its exit code if it fails."""
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
