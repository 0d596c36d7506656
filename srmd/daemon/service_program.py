"""The built-in service: a process that answers, and that can be told to misbehave.

    python -I -S service_program.py SLUG        (in the run directory of the node)

It listens on the unix socket `SLUG.sock` and takes one word a connection:

- `ping`   answers `ok`;
- `crash`  exits with code 70;
- `hang`   answers `ok`, and never again; the process lives on.

It refuses to start, with code 78, while the file `blocked/SLUG` exists.  SIGTERM, SIGINT and
SIGQUIT end it cleanly; other signals that would end it are ignored, and it has nothing to reopen.
Standard library only.  The socket's path is relative because a unix socket has 108 bytes for it.
"""

# ruff: noqa: PTH108, PTH110 - importing pathlib would cost half of our start
import os
import signal
import socket
import sys

KEPT = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD, signal.SIGTSTP),
    *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV),
    *(signal.SIGSYS, signal.SIGTRAP),
}
IGNORED = signal.valid_signals() - KEPT
# As in guard.py: a signal to all processes of a unit (systemctl kill) is not for us.
EXIT_CRASHED = 70
EXIT_BLOCKED = 78
CLIENT_S = 1.0
"""How long a client may take to say its word; others wait meanwhile."""


def main(slug: str) -> int:
    if os.path.exists(f"blocked/{slug}"):
        print(f"refused to start: blocked/{slug} exists", flush=True)  # noqa: T201 - it is the log
        return EXIT_BLOCKED
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: os._exit(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        path = f"{slug}.sock"
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        server.bind(path)
        server.listen()
        while True:
            client, _ = server.accept()
            with client:
                serve(client)


def serve(client: socket.socket) -> None:
    """Answer one client; one that says nothing, or leaves, is not our trouble."""
    client.settimeout(CLIENT_S)
    try:
        word = client.recv(64).strip()
        if word in {b"ping", b"hang"}:
            client.sendall(b"ok\n")
    except OSError:
        return
    if word == b"crash":
        os._exit(EXIT_CRASHED)
    if word == b"hang":
        client.close()
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
