"""Who may use the REST API, by bearer token, and what they are in which project. Tokens are never printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.credentials import new_token
from lab.landscape import PROJECTS_OF_THE_LAB
from lab.restapi.answers import RestError

Role = Literal["owners", "editors", "viewers"]
PersonName = Literal["owner", "viewer", "service-account", "administrator"]
_SCHEME_LENGTH = len("Bearer ")


@dataclass(frozen=True)
class Person:
    """A user or a service account of KKP."""

    id: str
    name: str
    email: str
    roles: Mapping[str, Role] = field(default_factory=dict)
    """By project."""
    is_admin: bool = False
    """An administrator of the whole installation, whom no project's members list holds back."""

    def may_write(self, project: str) -> bool:
        """Tell whether a project's clusters may be changed: viewers only look."""
        return self.is_admin or self.roles.get(project) in ("owners", "editors")


def _everywhere(role: Role) -> dict[str, Role]:
    return dict.fromkeys((item.id for item in PROJECTS_OF_THE_LAB), role)


_PEOPLE: Mapping[PersonName, Person] = {
    "owner": Person("u-owner", "Olivia Owner", "owner@lab.example", _everywhere("owners")),
    "viewer": Person("u-viewer", "Vic Viewer", "viewer@lab.example", _everywhere("viewers")),
    "administrator": Person("u-admin", "Ada Admin", "admin@lab.example", is_admin=True),
    # A service account belongs to one project (D pkg/handler/auth/sa.go).
    "service-account": Person(
        "serviceaccount-k4t9bn2wzd",
        "automation",
        "serviceaccount-k4t9bn2wzd@sa.kubermatic.io",
        {PROJECTS_OF_THE_LAB[0].id: "editors"},
    ),
}


class People:
    """The people of a lab, each with a fresh token."""

    def __init__(self) -> None:
        self.tokens: dict[PersonName, str] = {name: new_token() for name in _PEOPLE}
        self._by_token = {token: _PEOPLE[name] for name, token in self.tokens.items()}

    def __repr__(self) -> str:
        return f"People({', '.join(self.tokens)})"

    def authenticated(self, authorization: str) -> Person:
        """Return whose token a header carries; raises the 401.

        Source: D pkg/handler/auth/oidc.go, pkg/handler/middleware. The first seven characters are taken off unseen:
        any other word of six letters does as well as `Bearer`.
        """
        if len(authorization) < _SCHEME_LENGTH:
            raise RestError(401, "not authorized", "haven't found a Bearer token in the Authorization header")
        token = authorization[_SCHEME_LENGTH:]
        if not token:
            raise RestError(401, "not authorized")
        person = self._by_token.get(token)
        if person is None:
            raise RestError(401, "access denied, invalid token: oidc: malformed jwt")
        return person

    def owners_of(self, project: str) -> list[Person]:
        """Return the owners of a project."""
        return [person for person in _PEOPLE.values() if person.roles.get(project) == "owners"]
