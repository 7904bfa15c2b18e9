"""The other half of what `test_chaos` begins, for another worker."""

from __future__ import annotations

import pytest

from tests.chaos import bounded

pytestmark = [
    pytest.mark.timeout(bounded.CASE_SECONDS),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def front(prefect_server, tmp_path_factory):
    with bounded.front_in(tmp_path_factory.mktemp("chaos")) as found:
        yield found


@pytest.mark.parametrize("case", bounded.share(1))
async def test_nothing_is_lost_and_the_cluster_arrives(front, case):
    await bounded.assert_survived(front, case)
