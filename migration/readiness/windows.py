"""The maintenance windows: whether the run fits into them, and whether its schedule does.

What is a blocker at a safe point is a warning within a stretch: one that has begun is finished, whatever the windows
say, and the run stops behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final

from migration.asking import taken_up
from migration.errors import InvalidRequest
from migration.estimate import estimate
from migration.models import Finding, MigrationRequest, Stretch
from migration.readiness.codes import blocker, warning
from migration.safe_points import has_begun, under_way
from migration.schedules import Schedule, misfits
from migration.survey import ClusterSurvey
from migration.windows import Timetable, recurrences

TOO_SHORT: Final = "window-too-short"
"""The finding by whose code an operator lets a stretch begin that no window has room for."""


def cluster_window(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find a window of the cluster's own that is asked for and isn't there, or can't be read."""
    if request.ignore_window:
        return
    try:
        recurrences(request.maintenance, survey.cluster.update_window)
    except InvalidRequest as error:
        yield _severity(survey, request)(
            "cluster-window-missing",
            f"Cluster {survey.cluster.name}",
            str(error),
            "A run waits for no window that nobody knows.",
        )


def windows(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find windows that never open, and stretches of the run that are longer than any of them."""
    timetable = _timetable(survey, request)
    if timetable is None or request.ignore_window:
        return
    longest = timetable.longest(survey.seen_at)
    if not longest:
        yield _severity(survey, request)(
            "window-never-opens",
            _windows(request),
            "none of them opens within 400 days, so the run would never begin",
            "Correct them: COUNT, UNTIL and the excluded dates may have used them up.",
        )
        return
    for key, seconds in _stretches(survey, request):
        needed = request.maintenance.with_margin(seconds)
        if needed > longest:
            yield _severity(survey, request)(
                TOO_SHORT,
                f"The {key}",
                f"it takes about {_span(timedelta(seconds=seconds))}, {_span(needed)} with the margin of "
                f"{request.maintenance.margin_percent} %, and the longest opening lasts {_span(longest)}",
                "Give a longer window, or less of a margin: a stretch is never cut, so it begins only where it fits. "
                "With the code accepted it begins at the next opening all the same, and may last beyond it.",
            )


def ignored(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find that a run is going to work outside of its windows because it was told to."""
    timetable = _timetable(survey, request)
    if not request.ignore_window or timetable is None or timetable.opening_at(survey.seen_at):
        return
    following = timetable.next_opening(survey.seen_at, timedelta(0))
    yield warning(
        "window-ignored",
        _windows(request),
        f"none is open now, and ignore_window is set; the next one is {following or 'not within 400 days'}",
        "The run works at once, and its report says so. Leave ignore_window out unless this is an emergency.",
    )


def schedules(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find schedules of the run's deployment that start it when it may not work."""
    timetable = _timetable(survey, request)
    if timetable is None or request.ignore_window:
        return
    seconds = next((found for _, found in _stretches(survey, request)), 0.0)
    for schedule in request.schedules:
        seen = _contradiction(schedule, timetable, survey, request.maintenance.with_margin(seconds))
        if seen:
            yield warning(
                "schedule-outside-window",
                f"Schedule {schedule}",
                seen,
                "Let it start the run when a window opens, or leave it as it is if the run may wait.",
            )


def expiry(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find credentials that outlast the run itself, but not its wait for the window."""
    timetable = _timetable(survey, request)
    if timetable is None or request.ignore_window:
        return
    opening = timetable.next_opening(survey.seen_at, timedelta(0))
    expected = timedelta(seconds=estimate(survey, request).longest_seconds)
    for credential in survey.credentials:
        left = credential.expires_at - survey.seen_at
        if opening is not None and left >= expected and credential.expires_at < opening.end:
            yield warning(
                "kubeconfig-expires",
                credential.source,
                f"its credentials end at {credential.expires_at:%Y-%m-%d %H:%M} UTC, before the window {opening} does",
                "Renew it before: a run that loses its way in stops where it is, and goes on when it is started anew.",
            )


def _severity(survey: ClusterSurvey, request: MigrationRequest) -> Callable[[str, str, str, str], Finding]:
    running = taken_up(survey, request)
    return warning if running is not None and under_way(running) else blocker


def _timetable(survey: ClusterSurvey, request: MigrationRequest) -> Timetable | None:
    """Return when the run may work; None if that is always, or if nobody knows."""
    try:
        timetable = recurrences(request.maintenance, survey.cluster.update_window)
    except InvalidRequest:
        return None
    return None if timetable.is_always else timetable


def _stretches(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[tuple[str, float]]:
    """Return the stretches that have yet to begin, in their order, with the seconds that each takes."""
    expected, running = estimate(survey, request), taken_up(survey, request)
    begun = {
        part.key
        for part in expected.parts
        if running is not None
        and has_begun(running, part.stretch, part.target if part.stretch is Stretch.NODES else "")
    }
    yield from ((key, seconds) for key, seconds in expected.seconds_by_stretch.items() if key not in begun)


def _contradiction(schedule: Schedule, timetable: Timetable, survey: ClusterSurvey, needed: timedelta) -> str:
    try:
        found = misfits(schedule, timetable, now=survey.seen_at, needed=needed)
    except ValueError as error:
        return f"it can't be compared with the windows: {error}"
    return f"{len(found)} of its next starts don't fit the windows. The first: {found[0]}" if found else ""


def _windows(request: MigrationRequest) -> str:
    number = len(request.maintenance.windows) + request.maintenance.cluster_window
    return "The window" if number == 1 else f"The {number} windows"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


RULES = (cluster_window, windows, ignored, schedules, expiry)
