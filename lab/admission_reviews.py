"""The platform's webhooks as a real API server calls them: AdmissionReviews over HTTPS.

Only for API servers that are not the lab's own; those ask the same hooks without a wire. Refuses to know any rule.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jsonpatch
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab.apiserver.admission import AdmissionRequest, User
from lab.errors import ApiError
from lab.objects import Object, draft
from lab.platform.webhook import Webhook, denial
from lab.resources import MUTATING_WEBHOOKS, Resource

if TYPE_CHECKING:
    from starlette.types import ASGIApp

TIMEOUT_SECONDS = 10


def review_app(webhooks: Iterable[Webhook]) -> ASGIApp:
    """Return the application that answers for these webhooks, each under its name."""
    return Starlette(routes=[Route(f"/{item.name}", _answering(item), methods=["POST"]) for item in webhooks])


def configuration(
    name: str, webhooks: Iterable[Webhook], *, url: str, certificate_authority: bytes
) -> tuple[Resource, Object]:
    """Return what makes an API server ask these webhooks below a URL before it stores anything."""
    trusted = base64.b64encode(certificate_authority).decode()
    entries = [
        {
            "name": item.name,
            "clientConfig": {"url": f"{url}/{item.name}", "caBundle": trusted},
            "rules": [
                {
                    "apiGroups": [item.resource.group],
                    "apiVersions": [item.resource.version],
                    "resources": [item.resource.plural],
                    "operations": ["CREATE", "UPDATE"],
                }
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT_SECONDS,
            "admissionReviewVersions": ["v1"],
        }
        for item in webhooks
    ]
    body = {
        "apiVersion": MUTATING_WEBHOOKS.api_version,
        "kind": MUTATING_WEBHOOKS.kind,
        "metadata": {"name": name},
        "webhooks": entries,
    }
    return MUTATING_WEBHOOKS, body


def _answering(webhook: Webhook) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        review = json.loads(await request.body())
        response = _response(webhook, review["request"])
        return JSONResponse({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    return answer


def _response(webhook: Webhook, asked: Any) -> Object:
    """Return the response of an AdmissionReview: a refusal, or a JSON patch with what the hook changed."""
    before = asked.get("object")
    request = _request(webhook, asked)
    try:
        webhook.hook(request)
    except ApiError as refusal:
        message = refusal.message.removeprefix(denial(webhook.name))
        status = {"code": refusal.code, "reason": refusal.reason, "message": message}
        return {"uid": asked["uid"], "allowed": False, "status": status}
    changes = jsonpatch.make_patch(before, request.new).patch
    if not changes:
        return {"uid": asked["uid"], "allowed": True}
    patch = base64.b64encode(json.dumps(changes).encode()).decode()
    return {"uid": asked["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}


def _request(webhook: Webhook, asked: Any) -> AdmissionRequest:
    user = asked.get("userInfo") or {}
    new = asked.get("object")
    return AdmissionRequest(
        operation=asked["operation"],
        resource=webhook.resource,
        subresource=asked.get("subResource", ""),
        old=asked.get("oldObject"),
        new=draft(new) if new is not None else None,
        user=User(user.get("username", ""), tuple(user.get("groups") or ())),
        dry_run=bool(asked.get("dryRun")),
    )
