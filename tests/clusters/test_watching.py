import asyncio
import itertools
import time
from datetime import timedelta

import pytest

from clusters import api as api_module
from clusters import watching as watching_module
from clusters.kinds import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NODES, Kind
from clusters.watching import FIRST_ANSWER, Live, watching, with_faults
from migration.errors import DeadlineExceeded, InvalidRequest, Unauthorized, Unreachable
from tests.clusters.looking import becomes

SOON = timedelta(seconds=15)
PATH = "/namespaces/shop/configmaps"
numbers = itertools.count(1)


@pytest.fixture
def name():
    return f"watched-{next(numbers)}"


@pytest.fixture
def short_watches(monkeypatch):
    monkeypatch.setattr(api_module, "WATCH_SECONDS", 1)


def live(api, name, narrow=lambda item: item.get("data") or {}):
    return Live(api, CONFIG_MAPS, narrow, namespace="shop", fields=f"metadata.name={name}")


async def write(api, name, **data):
    metadata = {"name": name, "namespace": "shop"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    if await api.find(CONFIG_MAPS, name, namespace="shop") is None:
        await api.create(CONFIG_MAPS, body, namespace="shop")
    else:
        await api.patch(CONFIG_MAPS, name, {"data": data}, namespace="shop")


async def remove(api, name):
    found = await api.get(CONFIG_MAPS, name, namespace="shop")
    await api.delete(CONFIG_MAPS, name, namespace="shop", uid=found["metadata"]["uid"])


def wait_for(view, seen, key, *, deadline=SOON, tell=lambda line: None, **options):
    """Wait until one of the objects has this key in its data."""

    def judge():
        return None if any(key in data for data in seen.values()) else f"key {key}"

    return view.until(judge, what=f"key {key}", deadline=deadline, tell=tell, **options)


async def until_asked(cluster, what, more_than):
    await becomes(lambda: cluster.requests(what) > more_than)


async def test_a_change_ends_a_wait_at_once(api, name):
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        waiting = asyncio.create_task(wait_for(view, seen, "done"))
        started = time.monotonic()
        await write(api, name, done="1")
        await waiting

    assert time.monotonic() - started < 0.5


async def test_a_deleted_object_leaves_the_view(api, name):
    await write(api, name, done="1")
    seen = live(api, name)
    async with watching(seen) as view:
        await wait_for(view, seen, "done")
        await remove(api, name)
        await view.until(lambda: "it to go" if seen.objects else None, what="x", deadline=SOON, tell=print)


async def test_an_object_of_many_hundred_kilobytes_can_be_watched(api, name):
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        await write(api, name, done="x" * 800_000)
        await wait_for(view, seen, "done")


async def test_several_waiters_each_get_what_they_wait_for(api, name):
    seen = live(api, name)
    async with watching(seen) as view:
        waiters = [asyncio.create_task(wait_for(view, seen, key)) for key in ("one", "two", "three")]
        for key in ("three", "one", "two"):
            await write(api, name, **{key: "1"})
        await asyncio.gather(*waiters)


async def test_several_views_of_one_server_do_not_disturb_each_other(api, name):
    first, second = live(api, name), live(api, name)
    async with watching(first) as one:
        async with watching(second) as other:
            await other.listed()
        await write(api, name, done="1")
        await wait_for(one, first, "done")


async def test_a_watch_that_ends_in_order_is_taken_up_without_listing_again(api, shared, name, short_watches):
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        lists, watches = shared.requests("list configmaps"), shared.requests("watch configmaps")
        await until_asked(shared, "watch configmaps", watches + 1)
        await write(api, name, done="1")
        await wait_for(view, seen, "done")

        # `write` looks by name, which is a get.
        assert shared.requests("list configmaps") == lists


async def test_a_watch_that_is_closed_at_once_is_taken_up(api, shared, name):
    shared.fault("close-watch", path=PATH, times=2)
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        await write(api, name, done="1")
        await wait_for(view, seen, "done")


async def test_a_version_that_grew_too_old_makes_the_watch_list_again(api, shared, name, short_watches):
    await write(api, name, done="1")
    seen = live(api, name)
    async with watching(seen) as view:
        await wait_for(view, seen, "done")
        shared.fault("410", path=PATH + "$", method="GET")
        lists = shared.requests("list configmaps")
        await until_asked(shared, "list configmaps", lists)
        await write(api, name, again="1")
        await wait_for(view, seen, "again")

    assert shared.lab.remote.faults() == []


async def test_what_was_deleted_while_a_watch_was_cut_is_gone_afterwards(api, shared, name, short_watches):
    await write(api, name, done="1")
    seen = live(api, name)
    async with watching(seen) as view:
        await wait_for(view, seen, "done")
        fault = shared.fault("reset", path=PATH + "$", method="GET", times=None)
        await view.until(lambda: None if seen.fault else "the cut", what="the cut", deadline=SOON, tell=print)
        assert "not up to date: user cluster" in with_faults("pods", seen)
        await remove(api, name)
        shared.lab.remote.clear_faults(fault)
        await view.until(lambda: "it to go" if seen.objects else None, what="x", deadline=SOON, tell=print)

    assert with_faults("pods", seen) == "pods"


async def test_refused_credentials_end_a_wait(api, shared, name, short_watches):
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        shared.fault("401", path=PATH + "$", method="GET")
        with pytest.raises(Unauthorized):
            await wait_for(view, seen, "done")
        with pytest.raises(Unauthorized):
            await view.listed()
        with pytest.raises(Unauthorized):
            await view.changed()


async def test_a_server_that_stays_away_ends_a_wait_before_its_deadline(api, shared, name, monkeypatch):
    monkeypatch.setattr(watching_module, "TOLERATED_FAULT_SECONDS", 0.0)
    shared.fault("reset", path=PATH + "$", method="GET", times=None)
    seen = live(api, name)
    async with watching(seen) as view:
        with pytest.raises(Unreachable, match="user cluster"):
            await wait_for(view, seen, "done")


async def test_an_object_that_makes_no_sense_ends_a_wait_with_the_reason(api, name):
    def refuse(item):
        raise InvalidRequest("the object makes no sense")

    await write(api, name)
    async with watching(live(api, name, refuse)) as view:
        with pytest.raises(InvalidRequest, match="makes no sense"):
            await view.listed()


async def test_a_missed_deadline_says_what_was_last_seen_and_what_to_do(api, name):
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()
        with pytest.raises(DeadlineExceeded) as error:
            await wait_for(view, seen, "done", deadline=timedelta(seconds=0.2), advice="Look at it.")

    assert str(error.value) == "gave up waiting for key done after 0 s; last seen: key done. Look at it."


async def test_a_deadline_without_any_answer_says_why_there_was_none(api, shared, name, monkeypatch):
    monkeypatch.setattr(api_module, "ATTEMPTS", 1)
    shared.fault("reset", path=PATH + "$", method="GET", times=None)
    seen = live(api, name)
    async with watching(seen) as view:
        with pytest.raises(DeadlineExceeded, match=f"last seen: {FIRST_ANSWER} .*not reachable"):
            await wait_for(view, seen, "done", deadline=timedelta(seconds=1))


async def test_a_deadline_is_kept_though_changes_never_end(api, name):
    seen = live(api, name)

    async def chatter():
        for number in itertools.count():
            await write(api, name, **{f"other-{number % 5}": str(number)})

    async with watching(seen) as view:
        await view.listed()
        chattering = asyncio.create_task(chatter())
        with pytest.raises(DeadlineExceeded):
            await wait_for(view, seen, "done", deadline=timedelta(seconds=0.5))
        chattering.cancel()
        await asyncio.gather(chattering, return_exceptions=True)


async def test_time_alone_can_end_a_wait(api, name):
    async with watching(live(api, name)) as view:
        await view.listed()
        ends = time.monotonic() + 0.2
        await view.until(
            lambda: None if time.monotonic() > ends else "time",
            what="time",
            deadline=SOON,
            tell=print,
            rejudge_seconds=0.1,
        )


async def test_people_are_told_the_last_of_several_quick_changes(api, name, monkeypatch):
    monkeypatch.setattr(watching_module, "TELL_SECONDS", 0.4)
    told: list[str] = []
    seen = live(api, name)
    async with watching(seen) as view:
        await view.listed()

        waiting = asyncio.create_task(
            view.until(lambda: f"state {len(seen.objects)}", what="x", deadline=timedelta(seconds=1), tell=told.append)
        )
        await asyncio.sleep(0)
        await write(api, name)
        with pytest.raises(DeadlineExceeded):
            await waiting

    assert told == ["waiting for state 0", "waiting for state 1"]


async def test_a_change_before_the_look_for_it_is_not_missed(api, name):
    async with watching(live(api, name)) as view:
        await view.listed()
        before = view.changes
        await write(api, name)
        await view.changed(since=before)
        async with asyncio.timeout(5):
            await view.changed(since=before)


class TestCustomKinds:
    """A custom kind may come later than the wait for its objects."""

    @pytest.fixture
    def kind(self):
        return Kind("tests.example.test", "v1", f"things{next(numbers)}", custom=True)

    def thing(self, kind, name):
        return {"apiVersion": f"{kind.group}/{kind.version}", "kind": self.named(kind), "metadata": {"name": name}}

    def named(self, kind):
        return kind.plural.capitalize()

    async def define(self, api, kind):
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        name = self.named(kind)
        names = {"plural": kind.plural, "singular": name.lower(), "kind": name, "listKind": f"{name}List"}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": kind.group_resource},
            "spec": {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]},
        }
        await api.create(CUSTOM_RESOURCE_DEFINITIONS, body)

        async def is_established():
            found = await api.get(CUSTOM_RESOURCE_DEFINITIONS, kind.group_resource)
            conditions = (found.get("status") or {}).get("conditions") or ()
            return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

        await becomes(is_established)

    def wait_for_thing(self, view, things, name):
        return view.until(
            lambda: None if things.get(name, namespace="shop") else f"thing {name}",
            what="a thing",
            deadline=SOON,
            tell=print,
        )

    async def test_objects_of_a_kind_that_comes_later_are_noticed(self, api, kind):
        things = Live(api, kind, lambda item: item["metadata"]["name"])
        async with watching(things) as view:
            await view.listed()
            assert things.values() == ()
            await self.define(api, kind)
            await api.create(kind, self.thing(kind, "one"), namespace="shop")
            await self.wait_for_thing(view, things, "one")

        assert things.fault is None

    async def test_trouble_while_a_kind_is_awaited_does_not_end_the_wait(self, api, shared, kind, short_watches):
        things = Live(api, kind, lambda item: item["metadata"]["name"])
        async with watching(things) as view:
            await view.listed()
            fault = shared.fault("reset", path="/customresourcedefinitions$", method="GET", times=None)
            while "not reachable" not in str(things.fault):
                await view.changed()
            shared.lab.remote.clear_faults(fault)
            await self.define(api, kind)
            await api.create(kind, self.thing(kind, "one"), namespace="shop")
            await self.wait_for_thing(view, things, "one")

    async def test_a_kind_that_goes_takes_its_objects_along_and_may_come_back(self, api, kind):
        await self.define(api, kind)
        await api.create(kind, self.thing(kind, "one"), namespace="shop")
        things = Live(api, kind, lambda item: item["metadata"]["name"])
        async with watching(things) as view:
            await self.wait_for_thing(view, things, "one")
            definition = await api.get(CUSTOM_RESOURCE_DEFINITIONS, kind.group_resource)
            await api.delete(CUSTOM_RESOURCE_DEFINITIONS, kind.group_resource, uid=definition["metadata"]["uid"])
            await view.until(lambda: "it to go" if things.objects else None, what="x", deadline=SOON, tell=print)
            await self.define(api, kind)
            await api.create(kind, self.thing(kind, "two"), namespace="shop")
            await self.wait_for_thing(view, things, "two")


async def test_a_change_at_the_same_moment_does_not_swallow_a_cancellation(api, name):
    async with watching(live(api, name)) as view:
        await view.listed()
        waiting = asyncio.create_task(view.until(lambda: "more", what="x", deadline=SOON, tell=lambda line: None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        view._notify()
        waiting.cancel()
        await asyncio.wait([waiting], timeout=2)

        assert waiting.cancelled()


async def test_closing_a_view_ends_its_watches(api, shared):
    async with watching(Live(api, NODES, lambda item: item)) as view:
        await view.listed()
        tasks = list(view._tasks)

    assert all(task.done() for task in tasks)
