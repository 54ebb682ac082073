"""Blocking calls release the interpreter's lock, and kept objects need no thread that takes it.

Each test runs in a separate process with a switch interval of an hour, so that no thread releases the
lock except where the program does so. A defect makes the process hang, and it is killed.
"""

import unittest

from support import GpuCase, expect_child, gs

HEAD = """
import sys, threading, weakref, gc
from support import Driver, Word, gs

sys.setswitchinterval(3600.0)
# `PyDLL`: direct calls of the driver do not release the lock either.
driver = Driver(holding=True)
driver.enter()
"""

BLOCKS = """
stream = gs.new_stream(0)
gate = Word(driver)
barrier = threading.Lock()
barrier.acquire()
opened = []

def opener():
    barrier.acquire()  # Blocks, with the interpreter's lock released.
    gate.open()
    opened.append(True)

thread = threading.Thread(target=opener)
thread.start()
gate.hold_back(stream)
event = stream.record_event()
assert not event.query()
block = {block}
# The opener can continue once the interpreter's lock is released, which the next call must do.
barrier.release()
assert not opened
block()
assert opened
thread.join()
print("done")
"""


class Blocks(GpuCase):
    libraries = ()

    def released_in(self, block):
        self.assertEqual(expect_child(HEAD + BLOCKS.format(block=block)).strip(), "done")

    def test_stream_synchronize(self):
        self.released_in("stream.synchronize")

    def test_event_synchronize(self):
        self.released_in("event.synchronize")

    def test_blocking_event_synchronize(self):
        self.released_in("(lambda e: (stream.record_event(e), e)[1])(gs.Event(blocking=True)).synchronize")


class Kept(GpuCase):
    libraries = ()

    def test_kept_object_does_not_stop_the_stream(self):
        """The work ends while this thread holds the lock and polls. Later work of the stream must still run."""
        output = expect_child(HEAD + """
class Thing:
    pass

stream, gate, marker = gs.new_stream(0), Word(driver), Word(driver)
for round_ in range(1, 1001):
    thing = Thing()
    watch = weakref.ref(thing)
    gate.hold_back(stream, round_)
    stream.keep_until_done(thing)
    del thing
    marker.written_by(stream, round_)
    gate.open(round_)
    number = marker.number
    while number.value != round_:
        pass
    # The next call releases the object, and no other thread.
    assert watch() is not None
    stream.query()
    assert watch() is None
print("done")
""")
        self.assertEqual(output.strip(), "done")

    def test_owners_are_released_while_the_interpreter_is_busy(self):
        """A wrapper is kept, and its release releases the stream's owner."""
        output = expect_child(HEAD + """
class Owner:
    pass

carrier, gate, marker = gs.new_stream(0), Word(driver), Word(driver)
for round_ in range(1, 201):
    inner, owner = gs.new_stream(0), Owner()
    watch = weakref.ref(owner)
    wrapped = gs.ExternalStream(inner.cuda_stream, owner=(owner, inner))
    gate.hold_back(carrier, round_)
    carrier.keep_until_done(wrapped)
    del inner, owner, wrapped
    marker.written_by(carrier, round_)
    gate.open(round_)
    number = marker.number
    while number.value != round_:
        pass
    assert watch() is not None
    carrier.query()
    gc.collect()
    assert watch() is None
print("done")
""")
        self.assertEqual(output.strip(), "done")

    def test_process_exit_with_pending_work(self):
        """The process exits with pending work, kept objects and streams."""
        for _ in range(5):
            output = expect_child(HEAD + """
stream, gate = gs.new_stream(0), Word(driver)
stream.keep_until_done(object())
gate.hold_back(stream)
stream.keep_until_done([stream, object()])
event = stream.record_event()
gs.forever = [stream, event, gs.ExternalStream(stream, owner=object())]
gate.open()
print("done")
""")
            self.assertEqual(output.strip(), "done")


class Threads(GpuCase):
    def test_many_threads_on_one_stream(self):
        """Uses streams and events from several threads, with the default switch interval."""
        import threading

        import torch

        stream, rounds, threads = gs.new_stream(0), 300, 8
        one = torch.ones(64, device="cuda")
        sums = [torch.zeros(64, device="cuda") for _ in range(threads)]
        torch.cuda.synchronize()
        failures = []

        def work(index):
            try:
                mine = gs.new_stream(0)
                for _ in range(rounds):
                    mine.wait_stream(stream)
                    gs.saxpy(1.0, one, sums[index], stream=mine, branches=index % 3)
                    event = mine.record_event()
                    stream.wait_event(event)
                    event.synchronize()
            except BaseException as error:
                failures.append(error)

        all_threads = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
        for thread in all_threads:
            thread.start()
        for thread in all_threads:
            thread.join()
        stream.synchronize()
        self.assertEqual(failures, [])
        for total in sums:
            self.assertTrue(bool((total == rounds).all()))


if __name__ == "__main__":
    unittest.main()
