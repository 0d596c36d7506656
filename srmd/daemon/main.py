"""`srmd run`: one process is one node, from its first boot to its shutdown, over its reboots."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final

from srmd import descriptors, orphans
from srmd.config import Config, ConfigError, Loaded
from srmd.config.taking import Needs
from srmd.daemon import last_words
from srmd.daemon.door import CONNECTIONS_MAX, DESCRIPTORS_RESERVED, room_for
from srmd.daemon.guarded import children
from srmd.daemon.http import make_app, serve
from srmd.daemon.listening import CannotListen
from srmd.daemon.node import End, ServerNode
from srmd.daemon.notify import Notify
from srmd.daemon.own_secrets import Source, load
from srmd.daemon.reloading import Load, judge, log_kept, log_reading, read
from srmd.daemon.telling import Telling
from srmd.daemon.upkeep import kept_up
from srmd.log import Log, LogError
from srmd.log import start as start_log
from srmd.signals import STOPS, WOULD_KILL, Handler, Signals, has_terminal, name_of
from srmd.store import disk, nodestate
from srmd.store.disk import DiskFault
from srmd.store.nodestate import DamagedMemory, StateDirLocked
from srmd.tls import Contexts
from srmd.wire.codec import BELIEVED_MAX

OK, CONFIG_BAD, PORT_BUSY, STATE_LOCKED, STATE_DAMAGED, DISK_REFUSES = 0, 10, 11, 12, 13, 14
"""Exit codes; `srmd --help` lists them."""
PASSING: Final = {DiskFault.FULL, DiskFault.QUOTA, DiskFault.BROKEN}
"""Errors that keep a log from being opened and are not the fault of its name."""
THREAD_JOIN_S = 0.5
OVERHEAD_S = 10.0
"""What a stop may need besides limits.shutdown_s: the HTTP side, the threads, the last records."""
THREADS_LIMIT_S = 3.0
"""How long the process may need to end once its node is off, the log's last lines included."""
ENDS: Final = {**dict.fromkeys(STOPS, End.STOPPED), signal.SIGPWR: End.SHUTDOWN}
"""What a signal says.  Ours: SIGTERM is a stop of the service, of which the peer is not told;
SIGPWR, the signal of a failing power supply, says that the machine goes down, and the peer is told
before (row 17).  The first that arrives decides."""
DESCRIPTORS_WANTED = 1024
"""Descriptors that a node asks the system for; one with a dozen services needs about 100."""
DESCRIPTORS_LOW = CONNECTIONS_MAX + DESCRIPTORS_RESERVED
"""With fewer it cannot take all the connections that it would."""
BOOT_LOOK_S = 0.1
"""Interval of the looks whether a node runs that can be told to reload."""
REAP_LATER_S = 0.5
"""Pause before orphans are looked at again when a child of ours was just being started."""
RELOADED, IGNORED = (
    "the configuration is read again, and files that were moved are opened anew",
    "ignored",
)
"""Consequences of a signal, as its record tells them."""


def run(config_path: Path, copies: Path | None = None) -> int:
    """Run a node until it is shut down or told to stop; returns the exit code.

    `copies`: a folder with copies of the configuration, by `srmd config copy`, that are read in its
    place.  What keeps a node from starting is said in one line on standard error.
    """
    last_words.enable()
    read_files = partial(load, Source(config_path, copies))
    try:
        loaded = read_files()
    except ConfigError as error:
        return _refuse(CONFIG_BAD, str(error))
    config = loaded.config
    try:
        lock = nodestate.lock_state_dir(config.node.state_dir)
    except StateDirLocked as error:
        return _refuse(STATE_LOCKED, f"node.state_dir: {error}")
    except OSError as error:
        if disk.fault_of(error) is not None or descriptors.is_exhausted(error):
            return _disk_refuses(config, error)
        return _refuse(
            CONFIG_BAD,
            f"node.state_dir: {config.node.state_dir}: {error.strerror}; name a folder "
            "that can be written",
        )
    with lock:
        try:
            log = start_log(config.log, config.node.id)
        except LogError as error:
            return _refuse_log(error)
        log.take_library_records()
        telling = Telling(config.node.state_dir, copies, log.get())
        last_resort = _last_resort()
        connections_max = _connections_max(log)
        for warning in loaded.warnings:
            log.get().warning("config.warning", key=warning.key, problem=str(warning))
        try:
            with asyncio.Runner() as runner:  # before the coroutine: it may lack descriptors
                return runner.run(
                    _boots(
                        read_files,
                        loaded,
                        telling,
                        log,
                        last_resort=last_resort,
                        connections_max=connections_max,
                    )
                )
        except CannotListen as error:
            return _refuse(PORT_BUSY, str(error))
        except DamagedMemory as error:
            return _refuse(STATE_DAMAGED, str(error))
        except OSError as error:
            return _disk_refuses(config, error)
        except LogError as error:
            return _refuse_log(error)
        finally:
            telling.close()
            log.close()
            if not any(_hangs(thread) for thread in threading.enumerate()):
                last_resort.cancel()


class _Process:
    """What outlives a boot: the signals that arrived, the service manager, and who is watched."""

    def __init__(self, notify: Notify, log: Log, connections_max: int) -> None:
        self.told: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        """How the process was told to end."""
        self.notify = notify
        self.connections_max = connections_max
        self.node: ServerNode | None = None
        """The node that runs; None between two boots."""
        self._log = log.get()
        self._ignored: set[int] = set()
        self._reload_due = asyncio.Event()

    def signals(self) -> Signals:
        """Every signal that would end a process without a record does what is said here."""
        ends = {**ENDS, signal.SIGHUP: End.STOPPED} if has_terminal() else ENDS
        handlers: dict[int, Handler] = dict.fromkeys(WOULD_KILL, self._ignore)
        handlers[signal.SIGHUP] = self._reload
        handlers |= {number: partial(self._end, end) for number, end in ends.items()}
        if orphans.is_theirs():
            handlers[signal.SIGCHLD] = self._reap
            self._reap()  # those that ended before
        return Signals(handlers)

    def _reap(self, _number: int = signal.SIGCHLD) -> None:
        if children.are_known:
            orphans.reap(children.pids)
        else:
            asyncio.get_running_loop().call_later(REAP_LATER_S, self._reap)

    def _end(self, end: End, number: int) -> None:
        if not self.told.done():
            self._note(number, end.value)
            self.told.set_result(end)

    def _reload(self, number: int) -> None:
        """Moved files are opened anew by the next line, and this record is it."""
        self._note(number, RELOADED)
        self._reload_due.set()

    async def reload_when_told(self) -> None:
        """Reload once for all signals that arrived meanwhile, until cancelled."""
        while True:
            await self._reload_due.wait()
            if self.node is None:  # it has read the files, or will; which of both is not known
                await asyncio.sleep(BOOT_LOOK_S)
                continue
            self._reload_due.clear()
            await self.node.reload("SIGHUP")

    def _ignore(self, number: int) -> None:
        if number not in self._ignored:
            self._ignored.add(number)
            self._note(number, IGNORED)

    def _note(self, number: int, done: str) -> None:
        self._log.info("signal.received", signal=name_of(number), done=done)

    async def lives(self) -> None:
        if self.node is not None:
            await self.node.passed()


async def _boots(
    read_files: Load,
    loaded: Loaded,
    telling: Telling,
    log: Log,
    *,
    last_resort: threading.Timer,
    connections_max: int,
) -> int:
    """One boot of the node after another, until one ends otherwise than in a reboot."""
    process = _Process(Notify.from_env(), log, connections_max)
    signals = process.signals()
    watching = [
        asyncio.create_task(kept_up(name, work, log.get()), name=name)
        for name, work in (
            ("watchdog", lambda: process.notify.watch(process.lives)),
            ("reload", process.reload_when_told),
        )
    ]
    try:
        await _boot_after_boot(read_files, loaded, telling, log, process)
    finally:
        for task in watching:
            task.cancel()
        process.notify.close()
        signals.close()
    last_resort.start()
    return OK


async def _boot_after_boot(
    read_files: Load, loaded: Loaded, telling: Telling, log: Log, process: _Process
) -> None:
    config, contexts, rebooted = loaded.config, loaded.contexts, False
    while True:
        memory = _memory(config, log)
        node = ServerNode(
            read_files,
            config,
            memory,
            log,
            process.notify,
            contexts=contexts,
            telling=telling,
            rebooted=rebooted,
        )
        if await _boot(node, log, process) is not End.REBOOT:
            return
        config, contexts, rebooted = node.config, node.tls.contexts, True
        log.get().info("node.rebooting", reboot_s=config.node.reboot_s)
        process.notify.status(f"off for {config.node.reboot_s:g} s: the node reboots")
        await asyncio.wait({process.told}, timeout=config.node.reboot_s)
        if process.told.done():
            return
        config, contexts = await _read_again(read_files, config, contexts, log)


async def _read_again(
    read_files: Load, config: Config, contexts: Contexts | None, log: Log
) -> tuple[Config, Contexts | None]:
    """The configuration and certificates with which the node boots again."""
    try:
        fresh = await read(read_files)
    except ConfigError as error:
        log_kept(log.get(), "node reboot", error)
        return config, contexts
    reading = judge(fresh, config, contexts, Needs.NODE, now_s=time.time())
    log.set_level(reading.taken.config.log.level)
    log_reading(log.get(), "node reboot", reading)
    return reading.taken.config, reading.contexts


async def _boot(node: ServerNode, log: Log, process: _Process) -> End:
    config = node.config
    listen = config.control.listen
    app = make_app(
        node, on_error=lambda what, error: log.get().error("http.failed", what=what, error=error)
    )
    end = End.STOPPED
    server = None
    stopping = asyncio.create_task(_end_when(process.told, node), name="stop")
    try:
        server = await serve(
            app,
            listen.host,
            listen.port,
            context=node.tls.server,
            on_refused=node.tls.refused,
            connections_max=process.connections_max,
        )
        await node.power_on()
        process.node = node
        process.notify.ready()
        end = await node.run()
    finally:
        process.node = None
        stopping.cancel()
        if end is not End.REBOOT:
            process.notify.stopping(config.limits.shutdown_s + OVERHEAD_S)
        await node.power_off(end)
        if server is not None:
            await server.close()
    return end


async def _end_when(told: asyncio.Future[End], node: ServerNode) -> None:
    node.end(await asyncio.shield(told))


def _connections_max(log: Log) -> int:
    """The number of connections that may be taken, after a word on a limit that is low."""
    limit_count = descriptors.raised(DESCRIPTORS_WANTED)
    connections_max = room_for(limit_count)
    if limit_count < DESCRIPTORS_LOW:
        log.get().warning(
            "descriptors.low",
            limit_count=limit_count,
            wanted_count=DESCRIPTORS_WANTED,
            connections_max=connections_max,
        )
    return connections_max


def _last_resort() -> threading.Timer:
    """Ends the process when a thread hangs in a disk or a name server: Python would wait for it.

    To be started when the node is off: all that could be stored is stored then.
    """
    timer = threading.Timer(THREADS_LIMIT_S, os._exit, (OK,))
    timer.daemon = True
    return timer


def _hangs(thread: threading.Thread) -> bool:
    """The thread would keep the process from ending."""
    if thread.daemon or thread is threading.main_thread():
        return False
    thread.join(THREAD_JOIN_S)
    return thread.is_alive()


def _memory(config: Config, log: Log) -> nodestate.NodeMemory | None:
    """The stored memory of this node.  Raises DamagedMemory."""
    path = config.node.state_dir / nodestate.NODE_FILE
    loaded = nodestate.load(path)
    if loaded is None:
        return None
    if loaded.note is not None:
        log.get().warning("node.memory_restored", note=loaded.note)
    if loaded.memory.node_id != config.node.id:
        raise DamagedMemory(
            path,
            f"it is the memory of node {loaded.memory.node_id!r}, and node.id is "
            f"{config.node.id!r}",
            "give each node a state_dir of its own; where a node was renamed, remove the file: "
            "the node then starts as new",
        )
    counted = ("incarnation", "op", "ha_stamp")
    for name, number in ((name, getattr(loaded.memory, name)) for name in counted):
        if number > BELIEVED_MAX:  # a peer would not believe it, so the node would be mute
            raise DamagedMemory(
                path,
                f"{name}: {number} is more than a node counts to ({BELIEVED_MAX})",
                f"remove it and {nodestate.previous_of(path).name}: the node then starts as new, "
                "and learns from its peer what it needs",
            )
    return loaded.memory


def _disk_refuses(config: Config, error: OSError) -> int:
    """Not the configuration's fault, and it may pass: the service manager may try again."""
    node, folder = config.node.id, config.node.state_dir
    if descriptors.is_exhausted(error):
        return _refuse(DISK_REFUSES, f"node {node} is not started: {_without_descriptors(error)}")
    why = (
        "" if disk.fault_of(error) is None else f", because its state cannot be stored in {folder}"
    )
    return _refuse(DISK_REFUSES, f"node {node} is not started{why}: {disk.in_words(error)}")


def _without_descriptors(error: OSError) -> str:
    return f"no file descriptor is free ({error.strerror}); {descriptors.WAY_OUT}"


def _refuse_log(error: LogError) -> int:
    cause = error.__cause__
    if isinstance(cause, OSError) and descriptors.is_exhausted(cause):
        return _refuse(DISK_REFUSES, f"the log is not opened: {_without_descriptors(cause)}")
    refused = isinstance(cause, OSError) and disk.fault_of(cause) in PASSING
    return _refuse(DISK_REFUSES if refused else CONFIG_BAD, str(error))


def _refuse(code: int, why: str) -> int:
    sys.stderr.write(f"srmd: {why}\n")
    return code
