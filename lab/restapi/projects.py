"""Projects, and who is asking (D pkg/handler/v1/project, pkg/handler/v1/user)."""

from __future__ import annotations

from lab.faults import PlatformTrouble
from lab.objects import Object, labels_of, name_of
from lab.platform.kkp.admission import PROJECT_ID
from lab.resources import CLUSTERS, PROJECTS
from lab.restapi.answers import metadata, without_empty
from lab.restapi.installation import Call
from lab.restapi.people import Person


async def list_projects(call: Call) -> list[Object]:
    """Return the projects of who asks; all of them only to administrators, and only if they ask for all."""
    found, _ = await call.kkp.seed.list(PROJECTS)
    if not (call.person.is_admin and call.asks_for("displayAll")):
        found = [item for item in found if name_of(item) in call.person.roles]
    return [await _shown(call, item) for item in found]


async def get_project(call: Call) -> Object:
    """Return one project."""
    return await _shown(call, await call.project())


async def _shown(call: Call, project: Object) -> Object:
    found, _ = await call.kkp.seed.list(CLUSTERS, label_selector=f"{PROJECT_ID}={name_of(project)}")
    # Seeds out of reach are not counted either (D pkg/handler/v1/project getNumberOfClusters).
    out_of_reach: tuple[PlatformTrouble, ...] = ("seed-unreachable", "seed-gone")
    clusters = [item for item in found if not any(call.kkp.meets(each, name_of(item)) for each in out_of_reach)]
    owners = [_shown_person(person) for person in call.kkp.people.owners_of(name_of(project))]
    optional = {"labels": labels_of(project), "owners": owners, "clustersNumber": len(clusters)}
    return {
        **metadata(project, name=project["spec"]["name"]),
        "spec": {},
        "status": (project.get("status") or {}).get("phase", "Active"),
        **without_empty(optional),
    }


async def me(call: Call) -> Object:
    """Return who asks."""
    roles = [{"id": project, "group": role} for project, role in call.person.roles.items()]
    return {**_shown_person(call.person), **without_empty({"isAdmin": call.person.is_admin, "projects": roles})}


def _shown_person(person: Person) -> Object:
    return {
        "id": person.id,
        "name": person.name,
        "creationTimestamp": "0001-01-01T00:00:00Z",
        "email": person.email,
    }


async def version(call: Call) -> Object:
    """Return the version of KKP."""
    return {"api": call.kkp.profile.kubermatic_version}
