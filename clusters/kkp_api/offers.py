"""What this KKP is and can install: its version, the versions of Cilium, and the values with which it installs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusters.kkp_api.client import KkpApi
from clusters.kubernetes_seed import default_values
from migration.errors import Forbidden, NotFound, Permanent, ServerFault
from migration.versions import is_before_applications


class Offers:
    """What KKP offers; its version is asked for once."""

    def __init__(self, api: KkpApi) -> None:
        self._api = api
        self._version = ""

    async def kkp_version(self) -> str:
        """Return the version of KKP, as `v2.31.0`."""
        if not self._version:
            found = await self._api.get("v1", "version")
            if not isinstance(found, Mapping) or not found.get("api"):
                raise ServerFault(f"{self._api.where} answered with something that is no version")
            self._version = str(found["api"])
        return self._version

    async def cilium_versions(self) -> tuple[str, ...] | None:
        """Return the versions of the ApplicationDefinition; those that KKP supports if it may not be seen.

        None if this KKP installs Cilium as an addon.
        """
        if is_before_applications(await self.kkp_version()):
            return None
        try:
            spec = await self._definition()
        except (Forbidden, NotFound):
            # D pkg/handler/v2/cniversion: those of a cluster would be of the CNI that it has.
            found = await self._api.get("v2", "cni", "cilium", "versions")
            return tuple(str(version) for version in found.get("versions") or ())
        return tuple(str(entry["version"]) for entry in spec.get("versions") or ())

    async def cilium_defaults(self) -> dict[str, Any]:
        """Return the ApplicationDefinition's default Helm values. Raises Permanent if they can't be read."""
        try:
            spec = await self._definition()
        except (Forbidden, NotFound) as error:
            raise Permanent(
                f"{self._api.where} doesn't show ApplicationDefinition cilium, whose values Cilium is installed with: "
                f"let the token see it, or use a connection to the seed ({error})"
            ) from error
        return default_values(spec, where=self._api.where)

    async def _definition(self) -> Mapping[str, Any]:
        found = await self._api.get("v2", "applicationdefinitions", "cilium")
        spec = found.get("spec") if isinstance(found, Mapping) else None
        if not isinstance(spec, Mapping):
            raise ServerFault(f"{self._api.where} answered with something that is no ApplicationDefinition")
        return spec
