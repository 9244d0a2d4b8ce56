"""The recurrence's threads: their number, their end, and their life beside other threads and processes."""

import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from recurrence_cases import LENGTHS, directions_of, packed, run_script
from torch import Tensor, nn

from neurallib.recurrence import threads as recurrence_threads
from neurallib.recurrence.layer import Direction, gru_layer, use_path


def test_denormal_numbers_are_flushed_inside_and_left_alone_outside() -> None:
    pytest.importorskip("numba")
    gru = nn.GRU(1, 4)
    for parameter in gru.parameters():
        torch.nn.init.zeros_(parameter)
    layer, h0 = [Direction(*gru.parameters())], torch.ones(1, 1, 4)  # which halves at each step
    with torch.no_grad(), use_path("numba"):
        output = gru_layer(torch.zeros(1, 200, 1), torch.tensor([200]), layer, h0)[0]
    smallest = torch.finfo(torch.float32).tiny
    assert output[0, 120, 0] > smallest and output[0, 130, 0] == 0
    assert torch.tensor(smallest) / 4 != 0  # this thread is as it was


@pytest.mark.nightly
def test_one_thread_is_one_thread_and_a_late_one_can_predict() -> None:
    script = """
        import sys, threading, numpy as np, torch, neurallib as nl
        torch.set_num_threads({n})
        state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, bidirectional=True)
        def late():
            threading.main_thread().join()
            sys.stdout.write(str(nl.predict(state, [np.ones((9, 1), np.float32)])[0].shape))
        for _ in range(2):  # the first time one thread compiles alone
            nl.predict(state, [np.ones((9, 1), np.float32)] * 3)
        sys.stdout.write(f"{{sum('neurallib' in thread.name for thread in threading.enumerate())}} ")
        threading.Thread(target=late).start()
    """
    assert run_script(script.format(n=1)) == "0 (9, 1)"
    assert run_script(script.format(n=2)) == "1 (9, 1)"


def test_a_kernel_may_run_for_the_first_time_as_the_program_ends() -> None:
    script = """
        import atexit, sys, numpy as np, neurallib as nl
        state = nl.gru_seq2seq(n_features=1, hid_dim=4, n_layers=1, bidirectional=True)
        atexit.register(lambda: sys.stdout.write(str(nl.predict(state, [np.ones((9, 1), np.float32)] * 3)[0].shape)))
    """
    assert run_script(script) == "(9, 1)"


def test_several_python_threads_may_run_it_at_once() -> None:
    gru = nn.GRU(2, 32, bidirectional=True, batch_first=True)
    batches = [torch.randn(5, 11, 2) for _ in range(8)]
    expected = [packed(gru, x, torch.tensor(LENGTHS), torch.zeros(2, 5, 32))[0] for x in batches]
    found: list[Tensor | None] = [None] * len(batches)

    def work(i: int) -> None:
        for _ in range(5):
            with use_path("numba"):
                found[i] = gru_layer(batches[i], torch.tensor(LENGTHS), directions_of(gru))[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


def _in_process(queue: "multiprocessing.Queue[list[float]]", weights: list[list[float]]) -> None:
    gru = nn.GRU(1, 2, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for parameter, values in zip(gru.parameters(), weights, strict=True):
            parameter.copy_(torch.tensor(values).view_as(parameter))
    with use_path("numba"):
        output, _ = gru_layer(torch.ones(1, 4, 1), torch.tensor([4]), directions_of(gru))
    queue.put(output.flatten().tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_may_run_it(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    gru = nn.GRU(1, 2, bidirectional=True, batch_first=True)
    with use_path("numba"):  # so that this process has its threads when it forks
        expected, _ = gru_layer(torch.ones(1, 4, 1), torch.tensor([4]), directions_of(gru))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    weights = [parameter.flatten().tolist() for parameter in gru.parameters()]
    process = context.Process(target=_in_process, args=(queue, weights), daemon=True)
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    torch.testing.assert_close(torch.tensor(found), expected.flatten(), rtol=0, atol=1e-6)


@pytest.fixture
def free_number_of_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 12])
def test_every_signal_is_computed_on_any_number_of_threads(n_threads: int, free_number_of_threads: None) -> None:
    pytest.importorskip("numba")
    gru = nn.GRU(2, 6, bidirectional=True, batch_first=True)
    x, lengths, h0 = torch.randn(5, 11, 2), torch.tensor(LENGTHS), torch.randn(2, 5, 6)
    weight = torch.randn(5, 11, 12)
    torch.set_num_threads(n_threads)
    for _ in range(2):  # the first time one thread compiles alone
        with use_path("numba"):
            output, h_n = gru_layer(x, lengths, directions_of(gru), h0)
            found = torch.autograd.grad((output * weight).sum(), list(gru.parameters()))
    expected, expected_h_n = packed(gru, x, lengths, h0)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(h_n, expected_h_n, rtol=0, atol=1e-5)
    theirs = torch.autograd.grad((expected * weight).sum(), list(gru.parameters()))
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


def run_on(n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    with use_path("numba"):
        gru_layer(torch.zeros(9, 3, 1), torch.full((9,), 3), directions_of(nn.GRU(1, 2)))


def own_threads() -> int:
    return sum(thread.name.startswith("neurallib-recurrence") for thread in threading.enumerate())


def settled(most: int) -> int:
    """The kernels' threads, once there are no more than that or ten seconds have passed: they end on their own."""
    stop = time.monotonic() + 10
    while own_threads() > most and time.monotonic() < stop:
        time.sleep(0.01)
    return own_threads()


def test_threads_of_another_number_of_threads_end(free_number_of_threads: None) -> None:
    pytest.importorskip("numba")
    for n_threads in (5, 2, 6, 1, 2):  # a pool starts threads as they are needed, so many may be fewer
        run_on(n_threads)
        assert min(1, n_threads - 1) <= settled(n_threads - 1) <= n_threads - 1


def test_threads_that_are_still_used_take_jobs_after_another_number_was_set() -> None:
    held = recurrence_threads._threads(os.getpid(), 1)
    recurrence_threads._threads(os.getpid(), 2)
    assert held is not None and held.submit(threading.current_thread).result(10).name.startswith("neurallib-recurrence")


def test_a_kernel_is_compiled_where_an_interrupt_does_not_reach() -> None:
    ran_in = []

    class Kernel:
        overloads: list[object] = []

        def __call__(self) -> None:
            ran_in.append(threading.current_thread())
            self.overloads.append("compiled")

    kernel = Kernel()
    for _ in range(2):
        recurrence_threads._run([functools.partial(kernel)])
    assert ran_in[0] is not threading.main_thread() and ran_in[1] is threading.main_thread()


def _count_threads(queue: "multiprocessing.Queue[int]") -> None:
    queue.put(own_threads())
    for n_threads in (2, 3):  # the first as in the parent, whose threads are not here
        run_on(n_threads)
        queue.put(settled(n_threads - 1))


def test_a_fork_has_threads_of_its_own_and_leaves_its_parents_alone(free_number_of_threads: None) -> None:
    pytest.importorskip("numba")
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork here")
    for _ in range(2):  # once to compile, once to have a thread that waits
        run_on(2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_count_threads, args=(queue,), daemon=True)
    child.start()
    inherited, *own = (queue.get(timeout=60) for _ in range(3))
    assert inherited == 0 and own in ([1, 1], [1, 2])
    child.join(60)
    assert child.exitcode == 0
    run_on(2)
    assert own_threads() == 1


def test_all_jobs_are_done_at_the_end_and_an_error_of_any_is_raised(free_number_of_threads: None) -> None:
    done: list[float] = []

    def job(seconds: float) -> None:
        time.sleep(abs(seconds))
        done.append(1 / (seconds + 0.1))

    job.overloads = ["compiled"]  # type: ignore[attr-defined]
    torch.set_num_threads(3)
    recurrence_threads._run([functools.partial(job, seconds) for seconds in (0.0, 0.1, 0.2)])
    assert len(done) == 3
    with pytest.raises(ZeroDivisionError):
        recurrence_threads._run([functools.partial(job, seconds) for seconds in (0.0, -0.1)])
