# SPDX-License-Identifier: Apache-2.0
"""The worker behind its one-slot mailbox, steered by events."""

import threading
from queue import SimpleQueue

from cen_ros.segmentation.worker import Worker

SECONDS = 10  # no wait takes this long unless the test fails


class Gate:
    """Work that says when it begins and goes on when it is told to."""

    def __init__(self):
        self.begun, self.done = SimpleQueue(), []
        self._open = threading.Semaphore(0)

    def __call__(self, item):
        self.begun.put(item)
        assert self._open.acquire(timeout=SECONDS)
        self.done.append(item)

    def release(self, count=1):
        self._open.release(count)


def test_newest_wins_and_replaced_items_are_counted():
    gate = Gate()
    worker = Worker(gate, failed=print)
    worker.put(1)
    assert gate.begun.get(timeout=SECONDS) == 1
    assert [worker.put(item) for item in (2, 3, 4)] == [False, True, True]  # while 1 is in work
    gate.release(2)
    assert gate.begun.get(timeout=SECONDS) == 4
    worker.stop()
    assert gate.done == [1, 4]


def test_stop_waits_for_the_work_in_progress():
    gate = Gate()
    worker = Worker(gate, failed=print)
    worker.put(1)
    gate.begun.get(timeout=SECONDS)
    stop = threading.Thread(target=worker.stop)
    stop.start()
    stop.join(0.2)
    assert stop.is_alive(), "the work has not ended yet"
    gate.release()
    stop.join(SECONDS)
    assert gate.done == [1]
    assert not any(thread.name == "segment" for thread in threading.enumerate())


def test_work_happens_in_another_thread_and_an_exception_does_not_end_it():
    seen = SimpleQueue()

    def work(item):
        if item == "bad":
            raise ValueError("bad item")
        seen.put(threading.current_thread())

    worker = Worker(work, failed=seen.put)
    worker.put("bad")
    assert str(seen.get(timeout=SECONDS)) == "bad item"
    worker.put("good")
    assert seen.get(timeout=SECONDS) is not threading.current_thread()
    worker.stop()


def test_an_idle_worker_stops():
    Worker(print, failed=print).stop()
    assert not any(thread.name == "segment" for thread in threading.enumerate())
