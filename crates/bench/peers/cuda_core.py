"""cuda.core, NVIDIA's Python library."""

import _peer

NAME = "cuda.core"


def main():
    from importlib.metadata import version

    from cuda.core import Device, Stream

    device = Device(0)
    device.set_current()
    main, other = device.create_stream(), device.create_stream()
    branches = [device.create_stream() for _ in range(_peer.BRANCHES)]
    sides = branches[: _peer.SIDES]
    event = device.create_event()
    for one in [main, other, *branches]:
        one.record(event)
    recorded = other.record()
    handle = int(main.handle)

    def settle():
        for one in [other, *branches, main]:
            one.sync()

    def fork():
        now = main.record()
        for branch in branches:
            branch.wait(now)

    def join():
        for branch in branches:
            main.wait(branch)

    def short_lived():
        theirs = Stream.from_handle(handle)
        other.wait(theirs)
        now = other.record()
        for side in sides:
            side.wait(now)
        for side in sides:
            other.wait(side)
        theirs.wait(other)

    settle()
    operations = {
        "wrap_unchecked": lambda: Stream.from_handle(handle),
        "synchronize": main.sync,
        "record": lambda: main.record(event),
        "record_event": main.record,
        "event_query": lambda: recorded.is_done,
        "event_synchronize": recorded.sync,
        "wait_event": lambda: main.wait(recorded),
        "wait_stream": lambda: main.wait(other),
        "fork_16": fork,
        "join_16": join,
        "new_stream": device.create_stream,
        "new_event": device.create_event,
        "short_lived": short_lived,
    }
    versions = f"cuda-core {version('cuda-core')}, cuda-bindings {version('cuda-bindings')}"
    batches = {name: _peer.timed(call) for name, call in operations.items()}
    _peer.serve(NAME, versions, batches, settle)


try:
    main()
except Exception as error:
    _peer.missing(NAME, error)
