"""PyTorch from Python."""

import _peer

NAME = "PyTorch (Python)"


def main():
    import torch

    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    stream = lambda: torch.cuda.Stream(device)
    main, other = stream(), stream()
    branches = [stream() for _ in range(_peer.BRANCHES)]
    sides = branches[: _peer.SIDES]
    event = torch.cuda.Event()
    for one in [main, other, *branches]:
        one.record_event(event)
    recorded = other.record_event()
    timed = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    for one in timed:
        main.record_event(one)
    handle = main.cuda_stream

    def settle():
        for one in [other, *branches, main]:
            one.synchronize()

    def fork():
        now = main.record_event()
        for branch in branches:
            branch.wait_event(now)

    def join():
        for branch in branches:
            main.wait_stream(branch)

    def short_lived():
        theirs = torch.cuda.ExternalStream(handle, device)
        other.wait_stream(theirs)
        now = other.record_event()
        for side in sides:
            side.wait_event(now)
        for side in sides:
            other.wait_stream(side)
        theirs.wait_stream(other)

    settle()
    operations = {
        "wrap_unchecked": lambda: torch.cuda.ExternalStream(handle, device),
        "query": main.query,
        "synchronize": main.synchronize,
        "record": lambda: main.record_event(event),
        "record_event": main.record_event,
        "event_query": recorded.query,
        "event_synchronize": recorded.synchronize,
        "wait_event": lambda: main.wait_event(recorded),
        "wait_stream": lambda: main.wait_stream(other),
        "fork_16": fork,
        "join_16": join,
        "short_lived": short_lived,
        "elapsed_since": lambda: timed[0].elapsed_time(timed[1]),
    }
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
    batches = {name: _peer.timed(call) for name, call in operations.items()}
    _peer.serve(NAME, versions, batches, settle)


try:
    main()
except Exception as error:
    _peer.missing(NAME, error)
