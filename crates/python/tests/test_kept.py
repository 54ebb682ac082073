"""Objects are kept until their streams are done, and released by a later call on its own thread.

The tests run over the simulated CUDA driver. A gate holds the work back, and `watch()` tells whether an object lives.
"""

import unittest

from simulated import HEAD, SimulatedDriver

KEPT = """
import os, threading

class Thing:
    pass

def keep(stream, thing=None):
    # Keeps an object that nothing else holds. Returns a weak reference to it.
    thing = thing or Thing()
    watch = weakref.ref(thing)
    stream.keep_until_done(thing)
    return watch

def held_back():
    # Returns a stream whose work waits, and the gate.
    stream, gate = gs.new_stream(0), Word(driver)
    gate.hold_back(stream)
    return stream, gate

def reach(stream, marker, value):
    # Blocks until the work of the stream so far is done. Calls the driver alone, and not the module.
    marker.written_by(stream, value)
    while marker.number.value != value:
        pass
"""


class Simulated(SimulatedDriver):
    def kept(self, code):
        self.child(code, head=HEAD + KEPT)

    def test_each_call_that_reaches_the_driver_releases_what_is_done(self):
        self.kept("""
other, x = gs.new_stream(0), Array([1.0])
recorded, end = gs.Event(enable_timing=True), gs.Event(enable_timing=True)
recorded.record(other)
end.record(other)
other.synchronize()
calls = dict(
    query=other.query, synchronize=other.synchronize, record_event=other.record_event,
    wait_event=lambda: other.wait_event(recorded), wait_stream=lambda: other.wait_stream(gs.default_stream(0)),
    keep_until_done=lambda: other.keep_until_done(None), is_capturing=other.is_capturing,
    priority=lambda: other.priority, event_record=lambda: recorded.record(other),
    event_wait=lambda: recorded.wait(other), event_query=recorded.query, event_synchronize=recorded.synchronize,
    event_status=lambda: recorded.status, elapsed_time=lambda: end.elapsed_time(end),
    new_stream=lambda: gs.new_stream(0), default_stream=lambda: gs.default_stream(0), probe=gs.probe,
    saxpy=lambda: gs.saxpy(1.0, x, x, stream=other), collect=gs.collect,
)
for name, call in calls.items():
    stream, gate = held_back()
    watch = keep(stream)
    call()
    assert watch() is not None, (name, "the work is not done")
    gate.open()
    finish()
    assert watch() is not None, (name, "it was released without a call")
    call()
    assert watch() is None, name
gs.drain()
assert gs.pending() == 0
""")

    def test_collect_drain_and_pending_count_calls(self):
        self.kept("""
assert (gs.pending(), gs.collect(), gs.drain()) == (0, 0, None)
first, gate = held_back()
second, other = held_back()
watches = [keep(stream) for stream in [first, second, first, gs.new_stream(1)]]
gs.collect()
assert gs.pending() == 3, "nothing holds the last one back"
other.open()
reach(second, Word(driver), 1)
assert gs.collect() == 1 and gs.pending() == 2
assert [watch() is None for watch in watches] == [False, True, False, True]
gate.open()
gs.drain()
assert gs.pending() == 0 and all(watch() is None for watch in watches)
# One object may be kept for several streams.
thing = Thing()
first, gate = held_back()
second, other = held_back()
for stream in [first, second]:
    stream.keep_until_done(thing)
watch = weakref.ref(thing)
del thing
other.open()
reach(second, Word(driver), 1)
assert gs.collect() == 1 and watch() is not None
gate.open()
gs.drain()
assert watch() is None
""")

    def test_later_work_does_not_keep_the_object(self):
        self.kept("""
stream, gate = held_back()
marker = Word(driver)
watches = []
for value in range(1, 5):
    watches.append(keep(stream))
    marker.written_by(stream, value)
    gate.hold_back(stream, value + 1)
for value in range(1, 5):
    gate.open(value)
    while marker.number.value != value:
        pass
    assert gs.collect() == 1 and stream.query() is False
    assert [watch() is None for watch in watches] == [index < value for index in range(4)]
gate.open(5)
""")

    def test_released_on_the_thread_of_the_call(self):
        self.kept("""
seen = []

class Tells(Thing):
    def __del__(self):
        seen.append(threading.get_ident())

for call in [gs.collect, gs.drain, gs.new_stream(0).query]:
    stream, gate = held_back()
    keep(stream, Tells())
    gate.open()
    finish()
    assert seen == []
    caller = []
    thread = threading.Thread(target=lambda: (caller.append(threading.get_ident()), call()))
    thread.start()
    thread.join()
    assert seen == caller, (seen, caller, threading.get_ident())
    seen.clear()
# While `drain` blocks, another thread's calls leave alone what it has dropped.
stream, gate = held_back()
watch = keep(stream, Tells())
gate.hold_back(stream, 2)
keep(stream, Tells())
gate.open()
thread = threading.Thread(target=gs.drain)
thread.start()
while gs.pending() == 2:
    pass
for _ in range(100):
    gs.pending()
assert watch() is not None and seen == []
gate.open(2)
thread.join()
assert seen == [thread.ident] * 2 and watch() is None
""")

    def test_destructor_may_call_the_module(self):
        self.kept("""
seen = []

class Calls(Thing):
    def __init__(self, depth):
        self.depth = depth

    def __del__(self):
        if self.depth:
            keep_two(self.depth - 1)
        seen.append(self.depth)

def keep_two(depth):
    # On an idle stream, the objects would be released before this function drops its own references.
    stream, gate = held_back()
    keep(stream, Calls(depth))
    keep(stream, Calls(depth))
    gate.open()
    gs.drain()
    assert stream.query() and gs.collect() == 0

keep_two(2)
assert gs.pending() == 0 and seen == [0, 0, 1, 0, 0, 1, 2] * 2, seen
""")

    def test_drain_blocks_without_the_interpreters_lock(self):
        self.kept("""
# A host function that needs the lock. After the gate opens, this thread gives the lock to others only inside of `drain`.
sys.setswitchinterval(3600.0)
seen = []
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: seen.append(gs.pending()))
stream, gate = held_back()
driver.call("cuLaunchHostFunc", ctypes.c_void_p(stream.cuda_stream), call, None)
watch = keep(stream)
gate.open()
gs.drain()
assert seen == [1] and watch() is None
""")

    def test_captured_stream_gives_the_object_back(self):
        self.kept("""
stream, marker, (other, gate) = gs.new_stream(0), Word(driver), held_back()
handle, graph = ctypes.c_void_p(stream.cuda_stream), ctypes.c_void_p()
before, thing, kept = keep(stream, Thing()), Thing(), keep(other)
count = sys.getrefcount(thing)
driver.call("cuStreamBeginCapture_v2", handle, 0)
with raises(gs.CapturingError, "Capturing", "keep_until_done", "as long as the graph"):
    stream.keep_until_done(thing)
assert sys.getrefcount(thing) == count and gs.pending() == 1 and before() is None
# A call for the captured stream releases what other streams are done with.
gate.open()
reach(other, marker, 1)
assert stream.is_capturing() and kept() is None
driver.call("cuStreamEndCapture", handle, ctypes.byref(graph))
watch = keep(stream, thing)
del thing
gs.drain()
assert watch() is None
""")

    def test_stream_that_is_captured_later_keeps_its_objects(self):
        self.kept("""
# Without a mark from before the capture, nothing tells when the object's work is done.
(stream, gate), marker = held_back(), Word(driver)
handle, graph = ctypes.c_void_p(stream.cuda_stream), ctypes.c_void_p()
fail("cuEventRecord", 2)
watch = keep(stream)
fail(None, 0)
marker.written_by(stream, 1)
driver.call("cuStreamBeginCapture_v2", handle, 2)
gate.open()
while marker.number.value != 1:
    pass
assert gs.collect() == 0 and watch() is not None and gs.pending() == 1
with raises(gs.CapturingError, "Capturing"):
    gs.drain()
assert watch() is not None
driver.call("cuStreamEndCapture", handle, ctypes.byref(graph))
gs.drain()
assert watch() is None
""")

    def test_refused_object_is_the_callers(self):
        self.kept("""
stream, thing = gs.new_stream(0), Thing()
count = sys.getrefcount(thing)
for code, exception, kind in [(2, gs.StreamError, "OutOfMemory"), (700, gs.FaultError, "StreamFault")]:
    fail("cuStreamQuery", code)
    with raises(exception, kind, "keep_until_done", "cuStreamQuery", "until a synchronize"):
        stream.keep_until_done(thing)
    fail(None, 0)
    assert sys.getrefcount(thing) == count and gs.pending() == 0
watch = keep(stream, thing)
del thing
gs.drain()
assert watch() is None
""")

    def test_mark_that_fails_keeps_the_object(self):
        self.kept("""
for name in ["cuEventCreate", "cuEventRecord"]:
    stream, gate = held_back()
    fail(name, 2)
    watch = keep(stream)
    with raises(gs.StreamError, "OutOfMemory", name):
        gs.collect()
    assert gs.new_stream(0).query(), "the error is no other stream's"
    assert watch() is not None and gs.pending() == 1
    fail(None, 0)
    assert gs.collect() == 0
    gate.open()
    gs.drain()
    assert watch() is None
""")

    def test_fault_keeps_the_objects(self):
        self.kept("""
stream, gate = held_back()
watch = keep(stream)
gate.open()
finish()
fail("cuEventQuery", 700)
for call in [gs.collect, gs.drain]:
    with raises(gs.FaultError, "StreamFault", "700"):
        call()
    assert watch() is not None and gs.pending() == 1
assert gs.new_stream(0).query(), "calls for other streams do not raise it"
""")

    def test_child_of_a_fork_releases_nothing(self):
        self.kept("""
class Tells(Thing):
    def __del__(self):
        print("released by", "the child" if os.getpid() != parent else "its process")

parent = os.getpid()
stream, gate = held_back()
watch = keep(stream, Tells())
gate.open()
finish()
child = os.fork()
if child == 0:
    status = 1
    try:
        assert (gs.pending(), gs.collect(), gs.drain()) == (0, 0, None)
        for call in [stream.query, lambda: stream.keep_until_done(Thing())]:
            with raises(gs.MisuseError, "NotPermitted"):
                call()
        assert watch() is not None and gs.pending() == 0
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)
_, status = os.waitpid(child, 0)
assert status == 0 and watch() is not None and gs.pending() == 1
gs.collect()
assert watch() is None
""")

    def test_process_exit_releases_nothing(self):
        self.kept("""
class Tells(Thing):
    def __del__(self):
        os._exit(3)

stream, gate = held_back()
keep(stream, Tells())
done, gate = held_back()
keep(done, Tells())
gate.open()
reach(done, Word(driver), 1)
""")

    def test_many_threads(self):
        self.kept("""
class Checked(Thing):
    def __init__(self, marker, value):
        self.marker, self.value = marker, value

    def __del__(self):
        released.append(self.marker.number.value >= self.value)

released, failures = [], []
streams = [(gs.new_stream(0), Word(driver)) for _ in range(3)]
# Only one thread at a time submits, so the numbers of a marker grow.
locks = [threading.Lock() for _ in streams]
values = [0] * len(streams)

def work(index):
    try:
        for round_ in range(100):
            chosen = (index + round_) % len(streams)
            stream, marker = streams[chosen]
            with locks[chosen]:
                values[chosen] += 1
                marker.written_by(stream, values[chosen])
                thing = Checked(marker, values[chosen])
            stream.keep_until_done(thing)
            del thing
            if round_ % 10 == index:
                gs.drain()
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gs.drain()
assert failures == [] and gs.pending() == 0
assert len(released) == 400 and all(released)
""")


if __name__ == "__main__":
    unittest.main()
