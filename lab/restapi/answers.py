"""How KKP's REST API answers: plain JSON, and one shape for every error (D pkg/handler: handler.go, error.go)."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from lab.errors import ApiError
from lab.objects import Object


class RestError(Exception):
    """A request that the REST API refuses."""

    def __init__(self, code: int, message: str, *details: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds


def json_answer(found: Any, *, status: int = 200) -> Response:
    """Return an answer with a JSON body; nothing becomes an empty object, as an empty list stays one."""
    return Response(orjson.dumps({} if found is None else found), status, media_type="application/json")


def refusal(error: RestError) -> Response:
    """Return the answer to a refused request."""
    body: Object = {"code": error.code, "message": error.message}
    if error.details:
        body["details"] = list(error.details)
    answer = json_answer({"error": body}, status=error.code)
    if error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def of_kubernetes(error: ApiError) -> RestError:
    """Return what a Kubernetes API's refusal becomes: its code and its message (KubernetesErrorToHTTPError)."""
    return RestError(error.code, error.message)


def wrapped(doing: str, error: ApiError) -> RestError:
    """Return what it becomes where the handler only wraps it: a 500, whatever the code was (`fmt.Errorf` with %w)."""
    return RestError(500, f"{doing}: {error.message}")


def without_empty(found: Object) -> Object:
    """Return an object without the fields that Go's `omitempty` leaves out."""
    return {key: value for key, value in found.items() if value not in (None, "", {}, [], 0, False)}


def metadata(found: Object, *, name: str | None = None) -> Object:
    """Return the fields that every API object has (D pkg/api/v1/types.go ObjectMeta)."""
    given = found["metadata"]
    kept = {"id": given["name"], "name": given["name"] if name is None else name}
    optional = {key: given.get(key) for key in ("annotations", "deletionTimestamp")}
    return {**kept, **without_empty(optional), "creationTimestamp": given["creationTimestamp"]}
