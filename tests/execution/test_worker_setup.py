"""What a worker process checks before its first training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hebbevo import native
from hebbevo.errors import WorkerError
from hebbevo.training.recipe import NATIVE
from tests.execution.conftest import SETUP


@pytest.mark.usefixtures("one_thread")
def test_a_worker_without_the_native_engine_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(native, "is_built", lambda: False)
    setup = replace(SETUP, recipe=replace(SETUP.recipe, engine=NATIVE))
    with (
        ThreadPoolExecutor(1) as pool,  # in the main thread it would change how signals are handled
        pytest.raises(WorkerError, match=r"a worker cannot train: .* is not compiled here") as caught,
    ):
        pool.submit(setup.prepare).result()
    assert len(str(caught.value).splitlines()) == 1
