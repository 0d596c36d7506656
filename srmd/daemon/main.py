"""`srmd run`: one process is one node, from its first boot to its shutdown, over its reboots."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from srmd.config import Config, ConfigError, load
from srmd.daemon.heartbeat import PortBusy as HeartbeatPortBusy
from srmd.daemon.http import CannotListen, make_app, serve
from srmd.daemon.node import End, ServerNode
from srmd.log import Log, LogError
from srmd.log import start as start_log
from srmd.store import nodestate
from srmd.store.nodestate import DamagedMemory, StateDirLocked

OK, CONFIG_BAD, PORT_BUSY, STATE_LOCKED, STATE_DAMAGED = 0, 10, 11, 12, 13
"""Exit codes; `srmd --help` lists them."""
THREAD_JOIN_S = 0.5
THREADS_LIMIT_S = 3.0
"""How long the process may need to end once its node is off, the log's last lines included."""


def run(config_path: Path) -> int:
    """Run a node until it is shut down or told to stop; returns the exit code.

    What keeps a node from starting is said in one line on standard error.
    """
    try:
        loaded = load(config_path)
    except ConfigError as error:
        return _refuse(CONFIG_BAD, str(error))
    config = loaded.config
    try:
        lock = nodestate.lock_state_dir(config.node.state_dir)
    except StateDirLocked as error:
        return _refuse(STATE_LOCKED, f"node.state_dir: {error}")
    except OSError as error:
        return _refuse(
            CONFIG_BAD,
            f"node.state_dir: {config.node.state_dir}: {error.strerror}; name a folder "
            "that can be written",
        )
    with lock:
        try:
            log = start_log(config.log, config.node.id)
        except LogError as error:
            return _refuse(CONFIG_BAD, str(error))
        last_resort = _last_resort()
        for warning in loaded.warnings:
            log.get().warning("config.warning", key=warning.key, problem=str(warning))
        try:
            return asyncio.run(_boots(config_path, config, log, last_resort))
        except (HeartbeatPortBusy, CannotListen) as error:
            return _refuse(PORT_BUSY, str(error))
        except DamagedMemory as error:
            return _refuse(STATE_DAMAGED, str(error))
        except OSError as error:
            return _refuse(
                STATE_DAMAGED,
                f"{config.node.state_dir}: {error}; free the disk or repair the permissions",
            )
        except LogError as error:
            return _refuse(CONFIG_BAD, str(error))
        finally:
            log.close()
            if not any(_hangs(thread) for thread in threading.enumerate()):
                last_resort.cancel()


async def _boots(config_path: Path, config: Config, log: Log, last_resort: threading.Timer) -> int:
    """One boot of the node after another, until one ends otherwise than in a reboot."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    rebooted = False
    while True:
        end = await _boot(config_path, config, log, stop, rebooted=rebooted)
        if end is not End.REBOOT:
            last_resort.start()
            return OK
        rebooted = True
        log.get().info("node.rebooting", reboot_s=config.node.reboot_s)
        try:
            async with asyncio.timeout(config.node.reboot_s):
                await stop.wait()
            return OK
        except TimeoutError:
            pass
        config = _reloaded(config_path, config, log)


def _reloaded(config_path: Path, config: Config, log: Log) -> Config:
    """The configuration as it is read at a reboot; its folder stays the one that is locked."""
    try:
        fresh = load(config_path).config
    except ConfigError as error:
        log.get().warning("config.warning", key="file", problem=str(error))
        return config
    if fresh.node.state_dir != config.node.state_dir:
        log.get().warning(
            "config.warning",
            key="node.state_dir",
            problem=f"{fresh.node.state_dir} is used when the process starts again",
        )
    return replace(fresh, node=replace(fresh.node, state_dir=config.node.state_dir))


async def _boot(
    config_path: Path, config: Config, log: Log, stop: asyncio.Event, *, rebooted: bool
) -> End:
    memory = _memory(config, log)
    node = ServerNode(config_path, config, memory, log, rebooted=rebooted)
    listen = config.control.listen
    app = make_app(
        node, on_error=lambda what, error: log.get().error("http.failed", what=what, error=error)
    )
    end = End.STOPPED
    server = None
    stopping = asyncio.create_task(_end_when(stop, node), name="stop")
    try:
        server = await serve(app, listen.host, listen.port)
        await node.power_on()
        end = await node.run()
    finally:
        stopping.cancel()
        await node.power_off(end)
        if server is not None:
            await server.close()
    return end


async def _end_when(stop: asyncio.Event, node: ServerNode) -> None:
    await stop.wait()
    node.end(End.STOPPED)


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
            "give each node a state_dir of its own",
        )
    return loaded.memory


def _refuse(code: int, why: str) -> int:
    sys.stderr.write(f"srmd: {why}\n")
    return code
