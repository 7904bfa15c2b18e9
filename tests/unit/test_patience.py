import logging
from datetime import timedelta

import httpx
import pytest

from tasks import patience
from tasks.patience import patiently


@pytest.fixture(autouse=True)
def logger(monkeypatch):
    monkeypatch.setattr(patience, "get_run_logger", lambda: logging.getLogger("a run"))


class Server:
    def __init__(self, *answers):
        self.answers = list(answers)

    async def ask(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_server_that_comes_back_is_waited_for(caplog):
    server = Server(httpx.ConnectError("refused"), httpx.ReadTimeout("late"), "here")

    assert await patiently(server.ask, pause_seconds=0) == "here"
    assert caplog.messages[0] == "the Prefect server can't be reached, so the run waits here: refused"


async def test_patience_ends():
    server = Server(httpx.ConnectError("refused"), "too late")

    with pytest.raises(httpx.ConnectError):
        await patiently(server.ask, patience=timedelta(0), pause_seconds=0)


async def test_nothing_but_silence_is_waited_for():
    server = Server(PermissionError("refused"), "never")

    with pytest.raises(PermissionError):
        await patiently(server.ask, pause_seconds=0)
