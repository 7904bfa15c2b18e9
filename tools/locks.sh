#!/usr/bin/env bash
# Compile the requirements locks from pyproject.toml: requirements.lock for one machine, requirements-production.lock for the
# image, requirements-dev.lock for tests. Existing pins stay unless asked for:
#   tools/locks.sh                          after a change of pyproject.toml
#   tools/locks.sh --upgrade                everything to its newest allowed version
#   tools/locks.sh --upgrade-package httpx  one package
# Run it with Python 3.11, the oldest supported: PYTHON=python3.11 tools/locks.sh
set -euo pipefail
cd "$(dirname "$0")/.."

tools_venv=$(mktemp -d)
trap 'rm -rf "$tools_venv"' EXIT
"${PYTHON:-python3}" -m venv "$tools_venv"
"$tools_venv/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2

compile() { # the lock file, then pip-compile's options
  local lock=$1 draft=$1.draft
  shift
  # pip-compile reads the present pins from its output file.
  if [[ -f $lock ]]; then cp "$lock" "$draft"; fi
  "$tools_venv/bin/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-options \
    --annotation-style=line --build-deps-for editable --extra lab "$@" --output-file "$draft" pyproject.toml
  {
    echo "# Compiled from pyproject.toml by tools/locks.sh; CONTRIBUTING.md says how. Don't edit."
    # The lock that pins are taken from is no reason to want a package.
    sed -E 's/-c requirements[a-z-]*\.lock, //g; s/ -c (requirements[a-z-]*\.lock)$/ \1/' "$draft"
  } >"$lock"
  rm "$draft"
}

compile requirements.lock "$@"
compile requirements-production.lock --extra kubernetes --extra redis --extra s3 --constraint requirements.lock "$@"
compile requirements-dev.lock --extra dev --constraint requirements-production.lock "$@"
