"""A strike comes where it was told, or is told as what it is: late, or not at all."""

from __future__ import annotations

import pytest

from tests.chaos.strikes import LATE, STRUCK, Orders, Strike
from tests.chaos.striking import Striker

API = "user cluster abc"
PODS = "/api/v1/pods"


class Killed(Exception):
    """The process would have ended here."""


@pytest.fixture
def told():
    return []


@pytest.fixture
def begin(monkeypatch, told):
    def kill(_pid, _number):
        raise Killed

    def begun(**strike):
        monkeypatch.setattr("os.kill", kill)
        order = Strike(kind="kill", step="verify", **strike)
        orders = Orders(
            flow="", cluster="abc", parameters={}, connections="", lab="", log="", result="", strikes=(order,)
        )
        found = Striker(orders, told.append)
        found.enter("verify")
        return found

    return begun


def ask(striker, method="GET"):
    striker.asking(API, method, PODS, watch=False)()


def test_a_kill_comes_at_its_request(begin, told):
    striker = begin(nth=2)
    ask(striker)

    with pytest.raises(Killed):
        ask(striker)
    assert told == [STRUCK]


def test_a_kill_after_the_answer_lets_the_request_be_answered(begin, told):
    answered = begin(nth=1, answered=True).asking(API, "GET", PODS, watch=False)
    assert told == []

    with pytest.raises(Killed):
        answered()


def test_a_kill_that_waits_for_more_requests_than_there_are_comes_late_and_says_so(begin, told):
    striker = begin(nth=3)
    ask(striker)

    with pytest.raises(Killed):
        striker.acted()
    assert told == [LATE]


def test_so_does_one_that_waits_for_a_change_in_a_step_that_only_reads(begin, told):
    striker = begin(changing=True)
    ask(striker)

    with pytest.raises(Killed):
        striker.leave()
    assert told == [LATE]


def test_a_step_that_asks_for_nothing_has_no_inside(begin, told):
    striker = begin()

    striker.acted()
    striker.leave()
    assert told == []


@pytest.mark.parametrize("moment", ["before the record", "after"])
def test_a_kill_of_a_moment_needs_no_request(begin, told, moment):
    striker = begin(moment=moment)

    with pytest.raises(Killed):
        striker.leave()
    assert told == [STRUCK]
