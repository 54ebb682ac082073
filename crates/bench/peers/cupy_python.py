"""CuPy."""

import _peer

NAME = "CuPy"


def main():
    import cupy
    from cupy.cuda import Event, ExternalStream, Stream, get_elapsed_time

    cupy.cuda.Device(0).use()
    stream = lambda: Stream(non_blocking=True)
    main, other = stream(), stream()
    branches = [stream() for _ in range(_peer.BRANCHES)]
    sides = branches[: _peer.SIDES]
    event, recorded = Event(disable_timing=True), Event(disable_timing=True)
    for one in [main, other, *branches]:
        one.record(event)
    other.record(recorded)
    timed = [Event(), Event()]
    for one in timed:
        main.record(one)
    handle = main.ptr

    def settle():
        for one in [other, *branches, main]:
            one.synchronize()

    # CuPy has no wait for a stream. Its users record a new event and wait for it.
    def wait_stream(waiting, source):
        now = Event(disable_timing=True)
        source.record(now)
        waiting.wait_event(now)

    def fork(source, branches):
        now = Event(disable_timing=True)
        source.record(now)
        for branch in branches:
            branch.wait_event(now)

    def join():
        for branch in branches:
            wait_stream(main, branch)

    def short_lived():
        theirs = ExternalStream(handle)
        wait_stream(other, theirs)
        fork(other, sides)
        for side in sides:
            wait_stream(other, side)
        wait_stream(theirs, other)

    settle()
    operations = {
        "wrap_unchecked": lambda: ExternalStream(handle),
        "query": lambda: main.done,
        "synchronize": main.synchronize,
        "record": lambda: main.record(event),
        "record_event": lambda: main.record(Event(disable_timing=True)),
        "event_query": lambda: recorded.done,
        "event_synchronize": recorded.synchronize,
        "wait_event": lambda: main.wait_event(recorded),
        "wait_stream": lambda: wait_stream(main, other),
        "fork_16": lambda: fork(main, branches),
        "join_16": join,
        "new_stream": stream,
        "new_event": lambda: Event(disable_timing=True),
        "short_lived": short_lived,
        "elapsed_since": lambda: get_elapsed_time(*timed),
    }
    batches = {name: _peer.timed(call) for name, call in operations.items()}
    _peer.serve(NAME, f"cupy {cupy.__version__}", batches, settle)


try:
    main()
except Exception as error:
    _peer.missing(NAME, error)
