"""Every way in which a migration can fail. One tree, because a caller decides by class and never by text.

MigrationError
  PreflightFailed         a check found blockers; nothing was changed
  InvalidRequest          the operator's input can't be acted on; nothing was changed
    NoSuchCluster         there is no cluster of this name: NotShown, if KKP's API may only not show it
  ClusterError            a request to a seed or user cluster failed
    Transient             worth another try: Unreachable, Throttled, ServerFault, Conflict, Expired
    Permanent             the same request fails again: NotFound, Unauthorized, Forbidden, Rejected, AlreadyExists
  DeadlineExceeded        a wait ended without what it waited for
  PlatformFailed          KKP or Kubernetes gave up on something by itself and says why
  OperatorActionNeeded    only a person can go on, and the message says how
  MigrationReverted       a run failed and was taken back as asked for; the cluster is as before
  RunStopped              a run ended at a safe point because somebody wanted it to: RunCancelled, NotApproved
  LockHeld                another run works on this cluster; nothing was changed
  LockLost                another run holds the cluster's lock: this one must not change anything more

Only `Transient` is ever retried. Arguments stay positional so that errors survive pickling between Prefect's processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migration.models import Finding


class MigrationError(Exception):
    """Base of everything that this project raises on purpose."""

    step: str = ""
    """The step of the runbook that it ended, if one did."""

    safe_point: str = ""
    """The safe point that it ended the run at, if it was at one, and so in no step."""


class PreflightFailed(MigrationError):
    """Blockers were found before anything was changed."""

    def __init__(self, cluster: str, findings: Sequence[Finding]) -> None:
        super().__init__(cluster, tuple(findings))
        self.cluster = cluster
        self.findings = tuple(findings)

    def __str__(self) -> str:
        lines = "".join(f"\n  - {finding}" for finding in self.findings)
        return f"{self.cluster} is not ready to be migrated, nothing was changed:{lines}"


class InvalidRequest(MigrationError):
    """What the operator asked for can't be acted on; the message says what, where and what to do."""


class NoSuchCluster(InvalidRequest):
    """The seed, or KKP's API, answers and knows no cluster of this name: there never was one, or it is gone."""


class NotShown(NoSuchCluster):
    """KKP's API shows no cluster of this name, which is no certainty: it can leave out a seed without a word."""


class ClusterError(MigrationError):
    """A request to a seed or a user cluster failed."""


class Transient(ClusterError):
    """The same request may succeed later."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retry_after_seconds)
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message


class Unreachable(Transient):
    """No answer: refused, reset, timed out, no such host."""


class Throttled(Transient):
    """The server asked for patience (429)."""


class ServerFault(Transient):
    """The server failed (5xx)."""


class Conflict(Transient):
    """The object changed meanwhile (409): read it again before the next try."""


class Expired(Transient):
    """The resourceVersion or continue token is too old (410): list again."""


class Permanent(ClusterError):
    """The same request would fail again."""


class NotFound(Permanent):
    """There is no such object or resource (404)."""


class Unauthorized(Permanent):
    """The credentials were refused (401)."""


class Forbidden(Permanent):
    """The credentials are good, but don't allow this (403 by RBAC)."""


class Rejected(Permanent):
    """The server understood and refused: validation, admission webhook, precondition."""


class AlreadyExists(Rejected):
    """An object of this name is there already (409 on a creation)."""


class DeadlineExceeded(MigrationError):
    """What was waited for didn't come in time."""

    def __init__(self, what: str, waited: timedelta, last_seen: str, advice: str = "") -> None:
        super().__init__(what, waited, last_seen, advice)
        self.what = what
        self.waited = waited
        self.last_seen = last_seen
        self.advice = advice

    def __str__(self) -> str:
        text = f"gave up waiting for {self.what} after {self.waited.total_seconds():.0f} s; last seen: {self.last_seen}"
        return f"{text}. {self.advice}" if self.advice else text


class PlatformFailed(MigrationError):
    """KKP gave up by itself; the message carries its own words and what to do."""


class OperatorActionNeeded(MigrationError):
    """A person must act before the run can go on; the message is the instruction."""


class MigrationReverted(MigrationError):
    """A run failed, and what it had done was taken back; the message has the cause."""


class RunStopped(MigrationError):
    """The run ended at a safe point, as it was told to."""


class RunCancelled(RunStopped):
    """Somebody cancelled the run."""


class NotApproved(RunStopped):
    """Somebody looked at the readiness report and did not want the run to go on."""


class LockHeld(MigrationError):
    """Another run works on this cluster."""


class LockLost(MigrationError):
    """The cluster's lock was taken over; this run stopped before its next change."""
