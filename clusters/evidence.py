"""Evidence in Secrets beside the journal: the plan, what each step changed, the report. Nothing deletes it but people.

A step's changes are written when it ends, and on the way at growing intervals, so that a killed one leaves most of
them; what is weighty is announced before it is sent. Evidence never fails a step, and is written without the fence of
the lock: whoever lost the lock may still tell what it did, under a name that nobody else uses.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any, Final, Literal

from clusters.api import KubeApi
from clusters.backups import CHUNK_BYTES, put_chunk
from clusters.kinds import SECRETS
from clusters.recording import ChangeRecorder
from clusters.watching import Tell
from migration.errors import MigrationError
from migration.evidence import Document
from migration.journal import NAMESPACE

EVIDENCE_LABEL: Final = "cni-migration/evidence"
"""Holds the migration's id. Not the backups' label: who looks for those must not find these."""
FLUSH_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
"""Between two writes of a step that goes on changing things; the last one from then on."""
WRITE_SECONDS: Final = 10.0
_CHUNK_NAME: Final = re.compile(
    r"(?P<document>.+-evidence-(?P<part>[a-z]+)-(?P<moment>[0-9a-f]+))-(?P<number>[0-9]+)\Z"
)


@asynccontextmanager
async def keeping(recorder: ChangeRecorder, user_cluster: KubeApi, tell: Tell) -> AsyncIterator[None]:
    """Store what is recorded inside of the block, at its end at the latest, however it ends."""
    keeper = _Keeper(recorder, user_cluster, tell)
    recorder.write_ahead = keeper.write
    flushing = asyncio.create_task(keeper.write_now_and_then(), name="keep evidence")
    try:
        yield
    finally:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await keeper.write()


async def store_document(
    user_cluster: KubeApi, migration_id: str, part: Literal["start", "report"], content: Mapping[str, Any], tell: Tell
) -> bool:
    """Leave a document beside the journal; tells whether it is there. Never raises for a cluster that refuses it."""
    name = _document_name(migration_id, part)
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await _put(user_cluster, name, migration_id, _packed(content), written={})
    except (MigrationError, TimeoutError) as error:
        tell(f"the evidence of this migration lacks its {part}: {str(error) or 'no answer in time'}")
        return False
    return True


async def read_documents(user_cluster: KubeApi, migration_id: str) -> tuple[Document, ...]:
    """Return the documents of a migration in the order in which they were begun, damaged ones as far as they go."""
    found = await user_cluster.list(SECRETS, namespace=NAMESPACE, labels=f"{EVIDENCE_LABEL}={migration_id}")
    chunks = [(match, item) for item in found if (match := _CHUNK_NAME.match(item["metadata"]["name"]))]
    chunks.sort(key=lambda chunk: (chunk[0]["moment"], chunk[0]["document"], int(chunk[0]["number"])))
    documents = []
    for name, group in groupby(chunks, key=lambda chunk: chunk[0]["document"]):
        members = list(group)
        documents.append(_document(name, members[0][0]["part"], [item for _, item in members]))
    return tuple(documents)


class _Keeper:
    """Writes a step's changes into Secrets of their own, and again when there are more."""

    def __init__(self, recorder: ChangeRecorder, user_cluster: KubeApi, tell: Tell) -> None:
        self._recorder, self._user_cluster, self._tell = recorder, user_cluster, tell
        self._name = _document_name(recorder.migration_id, "changes")
        self._stored = 0
        self._written: dict[str, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    async def write(self) -> None:
        """Leave everything stored that was recorded so far; tell if that doesn't work."""
        try:
            async with asyncio.timeout(WRITE_SECONDS), self._one_at_a_time:
                await self._write()
        except (MigrationError, TimeoutError) as error:
            number = len(self._recorder.changes)
            self._tell(f"the record of {number} changes could not be kept: {str(error) or 'no answer in time'}")

    async def write_now_and_then(self) -> None:
        for pause in FLUSH_SECONDS:
            await asyncio.sleep(pause)
            await self.write()
        while True:
            await asyncio.sleep(FLUSH_SECONDS[-1])
            await self.write()

    async def _write(self) -> None:
        recorder = self._recorder
        version = recorder.version
        if version == self._stored:
            return
        changes = [change.model_dump(mode="json", exclude_defaults=True) for change in recorder.changes]
        content = {"step": recorder.step, "run": recorder.run, "changes": changes, "not_listed": recorder.not_listed}
        await _put(self._user_cluster, self._name, recorder.migration_id, _packed(content), written=self._written)
        self._stored = version


async def _put(
    user_cluster: KubeApi, name: str, migration_id: str, packed: bytes, *, written: dict[str, bytes]
) -> None:
    for number, start in enumerate(range(0, len(packed), CHUNK_BYTES)):
        secret, chunk = f"{name}-{number}", packed[start : start + CHUNK_BYTES]
        if secret not in written:
            await put_chunk(user_cluster, secret, chunk, labels={EVIDENCE_LABEL: migration_id})
        elif written[secret] != chunk:
            data = {"list": base64.b64encode(chunk).decode()}
            await user_cluster.patch(SECRETS, secret, {"data": data}, namespace=NAMESPACE)
        written[secret] = chunk


def _document_name(migration_id: str, part: str) -> str:
    return f"cni-migration-{migration_id}-evidence-{part}-{time.time_ns():x}"


def _packed(content: Mapping[str, Any]) -> bytes:
    return gzip.compress(json.dumps(content, sort_keys=True).encode(), mtime=0)


def _document(name: str, part: str, secrets: list[Any]) -> Document:
    try:
        packed = b"".join(base64.b64decode((item.get("data") or {}).get("list", ""), validate=True) for item in secrets)
        # Not gzip.decompress: an end that is missing must not take the rest with it.
        content = json.loads(zlib.decompressobj(wbits=31).decompress(packed))
    except (ValueError, zlib.error) as error:
        return Document(name=name, part=part, content={}, damage=f"it can't be read ({type(error).__name__})")
    if not isinstance(content, dict):
        return Document(name=name, part=part, content={}, damage="it is no JSON object")
    return Document(name=name, part=part, content=content)
