"""Slow work beside a fast loop is done first, then seldom, and what was left is done at the end."""

import time

import pytest

from neurallib.training import seldom
from neurallib.training.seldom import Seldom


def test_it_takes_a_small_share_of_the_time_and_finishes_with_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    now, done = [100.0], []
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now[0])

    def work(i: int) -> None:
        now[0] += 2.0
        done.append(i)

    often = Seldom(share=0.1)
    for i in range(100):
        often(lambda i=i: work(i))  # type: ignore[misc]
        now[0] += 1.0
    assert done == [0, 18, 36, 54, 72, 90]  # 2 s of work in 20
    often.finish()
    often.finish()
    assert done[-1] == 99 and done.count(99) == 1
    late = Seldom(wait=3.0)
    for i in (200, 201, 202):
        late(lambda i=i: work(i))  # type: ignore[misc]
        now[0] += 2.0
    assert done[-2:] == [99, 202]


def test_work_that_takes_no_time_is_done_every_time() -> None:
    done = []
    often = Seldom()
    for i in range(3):
        often(lambda i=i: done.append(i))  # type: ignore[misc]
        time.sleep(0.01)
    assert done == [0, 1, 2]
