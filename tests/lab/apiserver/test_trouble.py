"""Every trouble that can be switched on for requests."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from lab.apiserver import trouble
from lab.faults import RequestFault


@pytest.mark.parametrize("code", ["500", "503", "429", "409", "401", "403", "404", "410"])
async def test_a_status_is_answered_as_often_as_asked(api, faults, pods, code):
    faults.add(RequestFault(trouble=code, path="/pods$", retry_after_seconds=3))

    troubled, healthy = await api.get(pods), await api.get(pods)

    assert (troubled.status_code, troubled.json()["code"]) == (int(code), int(code))
    assert troubled.headers["retry-after"] == "3"
    assert healthy.status_code == 200


async def test_only_requests_that_match_are_troubled(api, faults, pods):
    faults.add(RequestFault(trouble="500", server="another", times=None))
    faults.add(RequestFault(trouble="500", method="DELETE", times=None))

    assert (await api.get(pods)).status_code == 200
    assert (await api.delete(f"{pods}/one")).status_code == 500


async def test_a_timeout_does_nothing_and_never_answers(api, faults, pods, make_pod):
    faults.add(RequestFault(trouble="timeout", method="POST"))

    with pytest.raises(httpx.ReadTimeout):
        await api.post(pods, json=make_pod("one"), timeout=0.2)

    assert (await api.get(f"{pods}/one")).status_code == 404


async def test_a_late_timeout_acts_and_never_answers(api, faults, pods, make_pod):
    faults.add(RequestFault(trouble="timeout-after", method="POST"))

    with pytest.raises(httpx.ReadTimeout):
        await api.post(pods, json=make_pod("one"), timeout=0.2)

    assert (await api.get(f"{pods}/one")).status_code == 200


async def test_a_held_request_is_cut_in_the_end(api, faults, pods, monkeypatch):
    monkeypatch.setattr(trouble, "HOLD_SECONDS", 0.05)
    faults.add(RequestFault(trouble="timeout"))

    with pytest.raises(httpx.TransportError):
        await api.get(pods)


async def test_a_reset_cuts_the_connection_before_acting(api, faults, pods, make_pod):
    faults.add(RequestFault(trouble="reset", method="POST"))

    with pytest.raises(httpx.TransportError):
        await api.post(pods, json=make_pod("one"))

    assert (await api.get(f"{pods}/one")).status_code == 404


async def test_a_watch_can_be_closed_at_once_and_lists_stay_well(api, faults, pods, watch):
    faults.add(RequestFault(trouble="close-watch"))

    listed = await api.get(pods)
    async with watch(pods) as events:
        assert await events.ended()

    assert listed.status_code == 200
    assert faults.requests == []


async def test_a_reset_watch_ends_with_an_error(faults, pods, watch):
    faults.add(RequestFault(trouble="reset"))

    with pytest.raises(httpx.TransportError):
        async with asyncio.timeout(5), watch(pods) as events:
            await events.next()
