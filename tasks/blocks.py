"""Connections as Prefect blocks: a seed and a KKP API, which people save on the Prefect server by name.

A flow's parameter names one (`kkp-seed/production` is the connection `production`); what is secret of it never leaves
the block but into the process that opens the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, model_validator

from clusters.checking import check_connection
from clusters.connection_kinds import (
    KkpConnection,
    SeedConnection,
    kkp_connection,
    pasted_authority,
    pasted_kubeconfig,
    seed_connection,
    self_contained,
)
from migration.errors import InvalidRequest

if TYPE_CHECKING:
    from typing import Self


PLACE: Final = "Prefect block "


class KkpSeed(Block):
    """A seed of KKP, reached through its Kubernetes API."""

    _block_type_name = "KKP Seed"
    _block_type_slug = "kkp-seed"
    _description = "A seed of KKP, reached through its Kubernetes API. Its name is what the parameter `seed` takes."
    _code_example = 'from tasks.blocks import KkpSeed\n\nprint(await (await KkpSeed.aload("production")).check())'
    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    kubeconfig: SecretStr = Field(
        title="Kubeconfig",
        description="The seed's kubeconfig with everything in it, as JSON on one line (`kubectl config view --raw "
        "--minify --flatten -o json`) or in base64: the field drops line breaks, which YAML needs.",
    )
    context: str = Field(
        default="", title="Context", description="Which of the kubeconfig's contexts. Empty: its current one."
    )

    def connection(self, name: str, *, source: str) -> SeedConnection:
        """Return it as a connection. Raises InvalidRequest that says what can't be used, and never quotes it."""
        kubeconfig = pasted_kubeconfig(self.kubeconfig.get_secret_value(), source=source)
        return self_contained(seed_connection(name, kubeconfig, context=self.context, source=source), source=source)

    async def check(self, cluster: str = "") -> str:
        """Return what the connection reaches. Raises InvalidRequest with everything that is wrong with it.

        Rights are asked for with a view to one cluster, the first one if none is named.
        """
        return await _checked(self, cluster)

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        _refuse_unusable(self)
        return self


class KkpApi(Block):
    """KKP's REST API."""

    _block_type_name = "KKP API"
    _block_type_slug = "kkp-api"
    _description = "KKP's REST API, for those without access to a seed. Its name is what the parameter `seed` takes."
    _code_example = 'from tasks.blocks import KkpApi\n\nprint(await (await KkpApi.aload("production")).check())'
    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    url: str = Field(
        title="URL",
        description="The address of KKP's dashboard, without /api.",
        json_schema_extra={"example": "https://kkp.example.com"},
    )
    token: SecretStr = Field(
        title="Token",
        description="Of a service account with the role editor, or of an administrator, without 'Bearer'.",
    )
    certificate_authority: str = Field(
        default="",
        title="Certificate authority",
        description="Certificates in PEM, or in base64 as kubeconfigs have them. Empty: those that the system trusts.",
    )
    project: str = Field(
        default="",
        title="Project",
        description="ID of the only project to look into. Empty: all that the token sees.",
    )

    def connection(self, name: str, *, source: str) -> KkpConnection:
        """Return it as a connection. Raises InvalidRequest that says what can't be used, and never quotes it."""
        return kkp_connection(
            name,
            url=self.url,
            token=self.token.get_secret_value(),
            certificate_authority=pasted_authority(self.certificate_authority, source=source),
            project=self.project,
            source=source,
        )

    async def check(self, cluster: str = "") -> str:
        """Return what the connection reaches. Raises InvalidRequest with everything that is wrong with it.

        Rights are asked for with a view to one cluster, the first one if none is named.
        """
        return await _checked(self, cluster)

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        _refuse_unusable(self)
        return self


ConnectionBlock = KkpSeed | KkpApi
TYPES: Final[dict[str, type[ConnectionBlock]]] = {"kkp-seed": KkpSeed, "kkp-api": KkpApi}


def place_of(slug: str, name: str) -> str:
    """Return what a block is called in messages."""
    return f"{PLACE}{slug}/{name}"


async def _checked(block: ConnectionBlock, cluster: str) -> str:
    name = block._block_document_name or "unsaved"  # noqa: SLF001 - Prefect has no other way to tell it
    connection = block.connection(name, source=place_of(block.get_block_type_slug(), name))
    found = await check_connection(connection, cluster=cluster)
    if found.problems:
        raise InvalidRequest(str(found))
    return str(found)


def _refuse_unusable(block: ConnectionBlock) -> None:
    try:
        block.connection("saved", source="this block")
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
