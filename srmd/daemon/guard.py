"""Runs one command, and leaves nothing of it behind: not even when our starter is killed with -9.

    python -I -S guard.py CONTROL_FD LOG LOG_BYTES_MAX COMMAND...

A program of its own, standard library only, because nobody can clean up after his own SIGKILL.
It is the command's parent and, on Linux, the "subreaper" of all that the command starts: a
descendant whose parent dies becomes our child, even if it went into a session of its own.  So what
belongs to the command is known exactly, and is killed when

- the control socket ends (our starter is gone, however it went),
- the command ends (a service that is stopped leaves no half of it running).

If the guard itself is killed, the kernel kills the command (PR_SET_PDEATHSIG).

The socket carries, to us, one byte an order: `T` terminate, `K` kill, `F` freeze.  From us, lines:
`pid 12`, then `exited 3` or `killed 9`; or `failed REASON` when the command cannot be executed.
The socket ends when the last descendant is gone; the guard then waits for its other end to close.
"""

# ruff: noqa: PTH105, PTH116, PTH123, PTH208 - importing pathlib would cost half of our start
import ctypes
import os
import select
import signal
import socket
import sys
import time

SWEEP_S = 5.0
"""How long descendants may need to die of SIGKILL.  Longer only in a broken kernel or disk."""
SWEEP_PAUSE_S = 0.02
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ON_LINUX = sys.platform == "linux"
KEPT = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGCHLD, signal.SIGTSTP),
    *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV),
    *(signal.SIGSYS, signal.SIGTRAP),
}
# A service manager may signal us together with the daemon, which then stops its services in order.
# No other signal ends us either, but those of a defect: a service would end with us.
IGNORED = signal.valid_signals() - KEPT


def main(control_fd: int, log: str, log_bytes_max: int, command: list[str]) -> None:
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    woken_r, woken_w = os.pipe()
    for fd in (woken_r, woken_w):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(woken_w, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if ON_LINUX:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)

    output_r, output_w = os.pipe()
    os.set_blocking(output_r, False)
    pid, problem = start(command, output_w)
    os.close(output_w)
    if problem:
        _tell(control, f"failed {problem}")
    else:
        _tell(control, f"pid {pid}")
        output = Log(log, log_bytes_max)
        ending = attend(control, woken_r, pid, output_r, output)
        output.pump(output_r, pieces_max=16)  # what a pipe can hold
        if ending:
            _tell(control, ending)
    sweep(woken_r)
    take_leave(control)


def start(command: list[str], output_w: int) -> tuple[int, str]:
    """Execute the command in a session of its own.  Its pid, and why it cannot be executed."""
    problem_r, problem_w = os.pipe()
    guard_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if ON_LINUX:
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != guard_pid:
                    os._exit(1)  # The guard died before the kernel knew what to do about it.
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                # Not only what we ignore: whoever started the daemon may have ignored others.
                signal.signal(number, signal.SIG_DFL)
            os.dup2(output_w, 1)
            os.dup2(output_w, 2)
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
        except OSError as error:
            os.write(problem_w, f"{command[0]}: {error.strerror}".encode())
        finally:
            os._exit(127)
    os.close(problem_w)
    problem = os.read(problem_r, 1024).decode()  # ends when the command has been executed
    os.close(problem_r)
    return pid, problem


def attend(control: socket.socket, woken_r: int, pid: int, output_r: int, output: "Log") -> str:
    """Serve the command until it ends, and say how; empty when our starter is gone."""
    poll = select.poll()
    for fd in (control.fileno(), woken_r, output_r):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == output_r and not output.pump(output_r):
                poll.unregister(output_r)
            if fd == woken_r:
                os.read(woken_r, 512)
                for child, status in _reaped():
                    if child == pid:
                        return _in_words(os.waitstatus_to_exitcode(status))
            if fd == control.fileno():
                order = _received(control)
                if not order:
                    obey(b"K", pid)  # `sweep` does it too, but knows our children on Linux only
                    return ""
                obey(order, pid)


def obey(order: bytes, pid: int) -> None:
    if order == b"T":
        _signal_group(pid, signal.SIGTERM)
        _signal_group(pid, signal.SIGCONT)  # a frozen process could not hear it
    elif order == b"K":
        _signal_group(pid, signal.SIGKILL)
    elif order == b"F":
        _signal_group(pid, signal.SIGSTOP)


def sweep(woken_r: int) -> None:
    """Kill every descendant.  Each that dies hands us its children: at the last one we are done."""
    deadline_s = time.monotonic() + SWEEP_S
    poll = select.poll()
    poll.register(woken_r, select.POLLIN)
    while time.monotonic() < deadline_s:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for child in _children():
            _signal_group(child, signal.SIGKILL)
        if poll.poll(SWEEP_PAUSE_S * 1000):
            os.read(woken_r, 512)


def take_leave(control: socket.socket) -> None:
    """Close the socket after our starter has: an order left unread would look like an accident."""
    try:
        control.shutdown(socket.SHUT_WR)
    except OSError:
        return
    while _received(control):
        pass


class Log:
    """The output of the command: the file and one older, of at most `bytes_max` each."""

    def __init__(self, path: str, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._fd: int | None = None

    def pump(self, source_fd: int, pieces_max: int = 1) -> bool:
        """Move some of what is there from the pipe to the file.  False when the pipe has ended."""
        for _ in range(pieces_max):
            try:
                piece = os.read(source_fd, min(65536, self._bytes_max))
            except BlockingIOError:
                break
            if not piece:
                return False
            try:
                self._write(piece)
            except OSError:
                pass  # A full disk must not stop the service: its output is lost.
        return True

    def _write(self, piece: bytes) -> None:
        if self._fd is not None and not self._has_room(self._fd, len(piece)):
            os.close(self._fd)
            self._fd = None
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._fd, piece)

    def _has_room(self, fd: int, size_bytes: int) -> bool:
        """The open file takes so much more.  If not, its name is free, or another file's."""
        found = os.fstat(fd)
        try:
            is_ours = os.path.samestat(os.stat(self._path), found)
        except FileNotFoundError:
            is_ours = False
        if is_ours and found.st_size + size_bytes > self._bytes_max:
            os.replace(self._path, self._path + ".1")
            return False
        return is_ours  # another program may have moved or removed it


def _prctl(option: int, argument: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _tell(control: socket.socket, line: str) -> None:
    try:
        control.sendall(line.encode() + b"\n")
    except OSError:
        pass  # Nobody is left to be told.


def _received(control: socket.socket) -> bytes:
    try:
        return control.recv(1)
    except OSError:
        return b""


def _signal_group(pid: int, number: int) -> None:
    """Signal a child of ours that we have not reaped, and its group if it leads one."""
    for send in (os.kill, os.killpg) if number == signal.SIGKILL else (os.killpg,):
        try:
            send(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # It is a zombie, or leads no group.


def _children() -> list[int]:
    """All processes whose parent we are.  Only Linux gives us the orphans among them."""
    if not ON_LINUX:
        return []
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent_pid = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue  # It has ended meanwhile.
            if parent_pid == os.getpid():
                found.append(int(name))
    return found


def _reaped() -> list[tuple[int, int]]:
    """Every child that has ended, with its wait status."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _in_words(returncode: int) -> str:
    return f"exited {returncode}" if returncode >= 0 else f"killed {-returncode}"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    os._exit(0)  # The interpreter's own farewell takes milliseconds.
