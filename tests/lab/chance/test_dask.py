"""The search on a Dask cluster: one of this machine, on loopback, with a process as its worker."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
from typing import Any

import pytest

from srmd.lab.chance.drawing import drawn
from srmd.lab.chance.many import NoExecutor, dask, search
from srmd.lab.chance.trial import tried

SEEDS = range(1, 11)

pytestmark = [
    # What Dask leaves behind when a cluster ends is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def distributed() -> Any:
    """Skips loudly where Dask is not installed; in CI that is a failure."""
    if importlib.util.find_spec("distributed") is None:
        missing = "Dask is not installed: `pip install srmd[dask]`; --executor dask is untested"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return importlib.import_module("distributed")


def test_a_cluster_finds_what_this_process_finds(distributed: Any) -> None:
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        with dask(address) as (executor, workers):
            assert workers == 1
            found = sorted(search(SEEDS, executor, workers), key=lambda one: one.seed)
    assert found == [tried(seed, drawn(seed)) for seed in SEEDS]


def test_an_address_where_no_scheduler_listens_is_told(
    distributed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srmd.lab.chance.many.DASK_CONNECT_LIMIT_S", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with (
            pytest.raises(NoExecutor, match="HOST:PORT of a running `dask scheduler`"),
            dask(address),
        ):
            pass


def test_without_dask_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NoExecutor, match=r"pip install srmd\[dask\]"), dask("127.0.0.1:1"):
        pass
