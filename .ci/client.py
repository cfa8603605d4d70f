"""A client of an echo server, on plain blocking sockets, that compares every byte it gets back.

    client.py bytes SEED COUNT        writes COUNT pseudo-random bytes to standard output
    client.py talk SEED HOST PORT     holds several connections at once and checks each echo
"""

import random
import socket
import sys
import threading

CONNECTIONS = 16
BYTES = 1024 * 1024 + 3
SECONDS = 60


def data(seed: str, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


def pieces(rng: random.Random, sent: bytes):
    """Cuts `sent` into writes between one byte and 128 KiB, most of them small."""
    at = 0
    while at < len(sent):
        size = 1 << rng.randrange(18)
        yield sent[at : at + size]
        at += size


def talk(name: str, half_close: bool, together: threading.Barrier, address: tuple[str, int]) -> None:
    """Sends and receives at the same time; raises if the echo differs, is short or goes on.

    With `half_close` our side ends as soon as all is sent and the server's end must follow the last byte.
    Without it our side stays open until the whole echo is here.
    """
    sent = data(name, BYTES)
    with socket.create_connection(address, SECONDS) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # All are connected before the first byte is sent.
        together.wait(SECONDS)
        broken = []

        def send() -> None:
            try:
                for piece in pieces(random.Random(f"pieces of {name}"), sent):
                    peer.sendall(piece)
                if half_close:
                    peer.shutdown(socket.SHUT_WR)
            except OSError as error:
                broken.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        got = 0
        while got < len(sent):
            chunk = peer.recv(65536)
            if not chunk:
                raise ValueError(f"echo ended after {got} of {len(sent)} bytes; sending: {broken}")
            if chunk != sent[got : got + len(chunk)]:
                at = next(i for i, byte in enumerate(chunk) if sent[got + i : got + i + 1] != bytes([byte]))
                raise ValueError(f"echo differs at byte {got + at}")
            got += len(chunk)
        sender.join(SECONDS)
        if broken or sender.is_alive():
            raise ValueError(f"the whole echo came but sending did not end well: {broken}")
        if not half_close:
            peer.shutdown(socket.SHUT_WR)
        if peer.recv(1):
            raise ValueError(f"echo went on after {got} bytes")


def talk_all(seed: str, address: tuple[str, int]) -> int:
    failures = []
    together = threading.Barrier(CONNECTIONS)

    def run(number: int) -> None:
        try:
            talk(f"{seed}/{number}", number % 2 == 0, together, address)
        except threading.BrokenBarrierError:
            failures.append(f"connection {number}: not all could connect")
        except (OSError, ValueError) as error:
            # The others need not wait for one that could not connect.
            together.abort()
            failures.append(f"connection {number}: {error}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        print(f"python: {len(failures)} of {CONNECTIONS} failed, first {failures[0]}", file=sys.stderr)
        return 1
    print(f"python: {CONNECTIONS} times {BYTES} bytes came back as sent")
    return 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["bytes", seed, count]:
            sys.stdout.buffer.write(data(seed, int(count)))
            return 0
        case ["talk", seed, host, port]:
            return talk_all(seed, (host, int(port)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
