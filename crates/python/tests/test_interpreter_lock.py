"""The interpreter's lock is released in calls that block, and no callback of the driver takes it.

Each test is a process of its own, in which no thread gives the lock up but where the program says so:
the interpreter's switch interval is an hour. What would be wrong hangs, and the process is stopped.
"""

import unittest

from support import GpuCase, expect_child, gs

HEAD = """
import sys, threading, weakref, gc
from support import Driver, Word, gs

sys.setswitchinterval(3600.0)
# `PyDLL`: a call of the driver by the program does not give the lock up either.
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
    barrier.acquire()  # Waits, with the interpreter's lock given up.
    gate.open()
    opened.append(True)

thread = threading.Thread(target=opener)
thread.start()
gate.hold_back(stream)
event = stream.record_event()
assert not event.query()
block = {block}
# The opener may go on from here; it cannot before the lock is given up, which is in the next call.
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


class Callbacks(GpuCase):
    libraries = ()

    def test_a_callback_does_not_take_it(self):
        """The object is dropped by the driver's thread while this one holds the lock and looks, and
        what comes behind in the stream is seen to run.
        """
        said = expect_child(HEAD + """
class Thing:
    pass

stream, behind = gs.new_stream(0), Word(driver)
for round_ in range(1, 1001):
    thing = Thing()
    watch = weakref.ref(thing)
    stream.keep_until_done(thing)
    del thing
    behind.written_by(stream, round_)
    number = behind.number
    while number.value != round_:
        pass
    # Nobody could take the lock to let it go.
    assert watch() is not None
    stream.query()
    assert watch() is None
print("done")
""")
        self.assertEqual(said.strip(), "done")

    def test_owners_are_let_go_beside_a_busy_interpreter(self):
        """A callback drops a wrapper whose end lets the stream's owner go."""
        said = expect_child(HEAD + """
class Owner:
    pass

carrier, behind = gs.new_stream(0), Word(driver)
for round_ in range(1, 201):
    inner, owner = gs.new_stream(0), Owner()
    watch = weakref.ref(owner)
    wrapped = gs.ExternalStream(inner.cuda_stream, owner=(owner, inner))
    carrier.keep_until_done(wrapped)
    del inner, owner, wrapped
    behind.written_by(carrier, round_)
    number = behind.number
    while number.value != round_:
        pass
    assert watch() is not None
    carrier.query()
    gc.collect()
    assert watch() is None
print("done")
""")
        self.assertEqual(said.strip(), "done")

    def test_the_end_of_the_process(self):
        """Work, callbacks and streams are left behind as they are."""
        for _ in range(5):
            said = expect_child(HEAD + """
stream, gate = gs.new_stream(0), Word(driver)
stream.keep_until_done(object())
gate.hold_back(stream)
stream.keep_until_done([stream, object()])
event = stream.record_event()
gs.forever = [stream, event, gs.ExternalStream(stream, owner=object())]
gate.open()
print("done")
""")
            self.assertEqual(said.strip(), "done")


class Threads(GpuCase):
    def test_many_threads_on_one_stream(self):
        """Streams and events are used from any thread, with the interpreter switching as it likes."""
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
