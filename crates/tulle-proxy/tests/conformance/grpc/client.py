"""Calls the methods of server.py at an address and says of each thing that it is as it should be.

Usage: client.py ADDRESS [CASE ...]. Prints `ok CASE` for each case; ends with an error at the first that is not.
"""

import queue
import sys
import threading
import time

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PATIENCE = 30


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def eventually(what, test):
    end = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Cases:
    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address, options=OPTIONS)

    def method(self, kind, name):
        return getattr(self.channel, kind)("/test.Echo/" + name)

    def unary(self):
        call = self.method("unary_unary", "Unary")
        for size in (0, 1, 100, 16_384, 65_535, 65_536, 200_000):
            message = bytes(size)
            assert call(message, timeout=PATIENCE) == message

    def many_at_a_time(self):
        call = self.method("unary_unary", "Unary")
        pending = [(b"%d" % i, call.future(b"%d" % i, timeout=PATIENCE)) for i in range(1000)]
        for message, answer in pending:
            assert answer.result() == message

    def large_messages(self):
        call = self.method("unary_unary", "Unary")
        message = bytes(range(256)) * 80_000
        assert call(message, timeout=PATIENCE) == message

    def compressed(self):
        call = self.method("unary_unary", "Unary")
        message = b"again " * 100_000
        assert call(message, timeout=PATIENCE, compression=grpc.Compression.Gzip) == message

    def metadata(self):
        call = self.method("unary_unary", "Metadata")
        told = [("x-text", "some text, and more"), ("x-twice", "1"), ("x-twice", "2"), ("x-raw-bin", b"\0\x01\xff")]
        answer, ended = call.with_call(b"hi", metadata=told, timeout=PATIENCE)
        assert answer == b"hi"
        initial = list(ended.initial_metadata())
        assert ("x-text-initial", "some text, and more") in initial, initial
        assert ("x-raw-bin", b"\0\x01\xff") in initial, initial
        assert [v for k, v in initial if k == "x-twice-initial"] in (["1", "2"], ["1,2"], ["1, 2"]), initial
        trailing = dict(ended.trailing_metadata())
        assert trailing == {"x-trailing": "yes", "x-trailing-bin": b"\0\xff\n"}, trailing

    def error_status(self):
        error = refused(lambda: self.method("unary_unary", "Fail")(b"", timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        assert error.details() == "100 % wrong: \u00fcber\nall", error.details()
        assert ("x-why", "asked for") in list(error.trailing_metadata()), error.trailing_metadata()

    def error_behind_messages(self):
        got = []
        error = refused(lambda: got.extend(self.method("unary_stream", "FailHalfway")(b"", timeout=PATIENCE)))
        assert error.code() == grpc.StatusCode.DATA_LOSS, error

    def unknown_method(self):
        error = refused(lambda: self.method("unary_unary", "Nothing")(b"", timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    def server_streaming(self):
        answers = list(self.method("unary_stream", "CountUp")(b"5000", timeout=PATIENCE))
        assert answers == [b"%d" % i for i in range(5000)]

    def client_streaming(self):
        messages = (b"x" * (i % 3000) for i in range(3000))
        total = self.method("stream_unary", "SumUp")(messages, timeout=PATIENCE)
        assert int(total) == sum(i % 3000 for i in range(3000)), total

    def both_streaming(self):
        """Each message is sent when the one before it has come back."""
        outbox = queue.Queue()
        answers = self.method("stream_stream", "Talk")(iter(outbox.get, None), timeout=PATIENCE)
        for i in range(1000):
            outbox.put(b"%d" % i)
            assert next(answers) == b"%d" % i
        outbox.put(None)
        assert list(answers) == []
        assert answers.code() == grpc.StatusCode.OK

    def both_streaming_in_bulk(self):
        piece = bytes(30_000)
        answers = self.method("stream_stream", "Talk")(iter([piece] * 500), timeout=PATIENCE)
        assert sum(len(a) for a in answers) == 500 * len(piece)

    def cancelled_so_far(self):
        return int(self.method("unary_unary", "Cancelled")(b"", timeout=PATIENCE))

    def deadline(self):
        before = self.cancelled_so_far()
        error = refused(lambda: self.method("unary_unary", "Wait")(b"", timeout=0.3))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        eventually("the server hears of it", lambda: self.cancelled_so_far() == before + 1)

    def cancellation(self):
        before = self.cancelled_so_far()
        answers = self.method("unary_stream", "Trickle")(b"")
        assert next(answers) == b"."
        waiting = self.method("unary_unary", "Wait").future(b"")
        time.sleep(0.2)
        answers.cancel()
        waiting.cancel()
        eventually("the server hears of it", lambda: self.cancelled_so_far() == before + 2)
        assert answers.code() == grpc.StatusCode.CANCELLED

    def long_stream(self):
        """A stream that outlives the idle times of everything on its way, with a client that pings."""
        options = OPTIONS + [
            ("grpc.keepalive_time_ms", 200),
            ("grpc.keepalive_timeout_ms", 5000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        with grpc.insecure_channel(self.address, options=options) as channel:
            outbox = queue.Queue()
            answers = channel.stream_stream("/test.Echo/Talk")(iter(outbox.get, None))
            for i in range(20):
                outbox.put(b"%d" % i)
                assert next(answers) == b"%d" % i
                time.sleep(0.25)
            outbox.put(None)
            assert list(answers) == []

    def connections_that_go_away(self):
        """Against a server whose connections live shortly: no call is lost, and streams end as they would have."""
        outbox = queue.Queue()
        answers = self.method("stream_stream", "Talk")(iter(outbox.get, None), timeout=PATIENCE)
        failures = []

        def caller(number):
            call = self.method("unary_unary", "Unary")
            end = time.monotonic() + 4
            while time.monotonic() < end:
                try:
                    assert call(b"%d" % number, timeout=PATIENCE) == b"%d" % number
                except grpc.RpcError as error:
                    failures.append(f"{error.code()}: {error.details()}")

        callers = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
        for each in callers:
            each.start()
        for i in range(20):
            outbox.put(b"%d" % i)
            assert next(answers) == b"%d" % i
            time.sleep(0.1)
        outbox.put(None)
        assert list(answers) == []
        for each in callers:
            each.join()
        assert not failures, (len(failures), failures[:3])

    def unavailable(self):
        error = refused(lambda: self.method("unary_unary", "Unary")(b"", timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error


ORDINARY = [
    "unary", "many_at_a_time", "large_messages", "compressed", "metadata", "error_status", "error_behind_messages",
    "unknown_method", "server_streaming", "client_streaming", "both_streaming", "both_streaming_in_bulk", "deadline",
    "cancellation", "long_stream",
]


def main():
    cases = Cases(sys.argv[1])
    for name in sys.argv[2:] or ORDINARY:
        getattr(cases, name)()
        print("ok", name, flush=True)


main()
