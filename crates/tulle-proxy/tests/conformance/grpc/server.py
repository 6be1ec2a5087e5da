"""A gRPC server whose methods take and give bytes, one method for each thing that a proxy can get wrong.

Usage: server.py [MAX_CONNECTION_AGE_MS]. Prints its port. Ends with its standard input.
"""

import sys
import threading
import time
from concurrent import futures

import grpc

calls = {"cancelled": 0}
lock = threading.Lock()


def counts_cancellation(context):
    def ended():
        if not done.is_set():
            with lock:
                calls["cancelled"] += 1

    done = threading.Event()
    context.add_callback(ended)
    return done


def unary(request, context):
    return request


def metadata(request, context):
    """Gives back what it was told, as initial and as trailing metadata."""
    told = [(k, v) for k, v in context.invocation_metadata() if k.startswith("x-")]
    context.send_initial_metadata([(k + "-initial" if not k.endswith("-bin") else k, v) for k, v in told])
    context.set_trailing_metadata([("x-trailing", "yes"), ("x-trailing-bin", b"\0\xff\n")])
    return request


def fail(request, context):
    context.set_trailing_metadata([("x-why", "asked for")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "100 % wrong: \u00fcber\nall")


def fail_halfway(request, context):
    for i in range(3):
        yield b"%d" % i
    context.abort(grpc.StatusCode.DATA_LOSS, "halfway")


def count_up(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def sum_up(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def talk(requests, context):
    for request in requests:
        yield request


def wait(request, context):
    """Answers late, unless the caller gives up."""
    done = counts_cancellation(context)
    for _ in range(200):
        if not context.is_active():
            return b""
        time.sleep(0.05)
    done.set()
    return b"late"


def trickle(request, context):
    """Answers a little now and then, until the caller gives up."""
    counts_cancellation(context)
    while context.is_active():
        yield b"."
        time.sleep(0.02)


def cancelled(request, context):
    with lock:
        return b"%d" % calls["cancelled"]


def main():
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if len(sys.argv) > 1:
        options += [("grpc.max_connection_age_ms", int(sys.argv[1])), ("grpc.max_connection_age_grace_ms", 10_000)]
    # Clients may ping as they like.
    options += [("grpc.http2.min_ping_interval_without_data_ms", 10), ("grpc.http2.max_ping_strikes", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=options)
    unary_unary = grpc.unary_unary_rpc_method_handler
    unary_stream = grpc.unary_stream_rpc_method_handler
    handlers = {
        "Unary": unary_unary(unary),
        "Metadata": unary_unary(metadata),
        "Fail": unary_unary(fail),
        "FailHalfway": unary_stream(fail_halfway),
        "CountUp": unary_stream(count_up),
        "SumUp": grpc.stream_unary_rpc_method_handler(sum_up),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Wait": unary_unary(wait),
        "Trickle": unary_stream(trickle),
        "Cancelled": unary_unary(cancelled),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


main()
