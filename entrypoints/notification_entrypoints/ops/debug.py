"""The debug pages of the ops server: what a process is doing, where its time and memory go.

They are there with ``DEBUG=true``, on loopback, or for an administrator of the API. On loopback
the server must listen on it, and the request's Host must name it, so that no page of the web can
reach them through a name of its own. All is plain text, and everything is bounded.
"""

import asyncio
import linecache
import re
import sys
import threading
import traceback
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from notification_entrypoints.config.parsers import is_loopback
from notification_entrypoints.config.settings import Settings, variables
from notification_entrypoints.config.variables import value_of

_INDEX = """\
/debug/tasks               the tasks of the event loop, with their stacks
/debug/threads             the threads, with their stacks
/debug/profile?seconds=5   where the event loop's thread spends its time, from now on
/debug/memory?seconds=5    which lines hold more memory afterwards than now
/debug/settings            the settings, secrets masked
"""
_NO_PROFILER = "The profiler is not installed: pip install 'notification-management[debug]'.\n"
_BUSY = "This is being measured for somebody else: try again when it is done.\n"
_DEFAULT_SECONDS = "5"
_MAX_SECONDS = 60
_SECONDS = re.compile(r"[0-9]{1,9}")
_MAX_TASKS = 500
_MAX_FRAMES = 20
_MAX_LINES = 40

_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Refusal = Callable[[web.Request], Awaitable[web.Response | None]]
"""Returns what to answer to a request that is no administrator's, None where it is one."""

_Measure = Callable[[int], Awaitable[str]]


def add_debug_pages(app: web.Application, settings: Settings, refusal: Refusal) -> None:
    """Serve the pages below ``/debug/``, where the settings ask for them.

    ``refusal`` is called for requests that do not come over loopback: it returns the response to
    a caller who is not an administrator, or raises it.
    """
    if not settings.debug:
        return
    pages: Mapping[str, Handler] = {
        "": _page(lambda: _INDEX),
        "tasks": _page(_tasks),
        "threads": _page(_threads),
        "settings": _page(
            lambda: "".join(
                f"{name}={variable.show(value_of(settings, name))}\n"
                for name, variable in variables().items()
            )
        ),
        "profile": _measurement(_profile),
        "memory": _measurement(_memory),
    }
    on_loopback = is_loopback(settings.ops.server_host)

    def guarded(handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if on_loopback and is_loopback(request.url.host or ""):
                return await handler(request)
            if (refused := await refusal(request)) is not None:
                refused.headers.update(_NO_STORE)
                return refused
            return await handler(request)

        return handle

    for name, handler in pages.items():
        app.router.add_get(f"/debug/{name}", guarded(handler))


def _page(text: Callable[[], str]) -> Handler:
    async def page(_: web.Request) -> web.Response:
        return _response(text())

    return page


def _measurement(measure: _Measure) -> Handler:
    """Return a handler that measures for some seconds, for one asker at a time."""
    lock = asyncio.Lock()

    async def measurement(request: web.Request) -> web.Response:
        text = request.query.get("seconds", _DEFAULT_SECONDS)
        seconds = int(text) if _SECONDS.fullmatch(text) else 0
        if not 1 <= seconds <= _MAX_SECONDS:
            return _response(f"seconds must be a whole number from 1 to {_MAX_SECONDS}.\n", 400)
        if lock.locked():
            return _response(_BUSY, 409)
        async with lock:
            return _response(await measure(seconds))

    return measurement


def _response(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, headers=_NO_STORE)


def _tasks() -> str:
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    shown = []
    for task in tasks[:_MAX_TASKS]:
        # Not task.print_stack(): it shows results of futures, and a result may be a secret.
        frames = ((frame, frame.f_lineno) for frame in task.get_stack(limit=_MAX_FRAMES))
        stack = "".join(traceback.StackSummary.extract(frames).format())
        name = getattr(task.get_coro(), "__qualname__", "")
        shown.append(f"{task.get_name()} {name}\n{stack}")
    return "\n".join([f"{len(tasks)} tasks, {len(shown)} of them shown\n", *shown])


def _threads() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = sys._current_frames()  # noqa: SLF001 - the language's own way to see them
    return "\n".join(
        f"{names.get(ident, ident)}\n{''.join(traceback.format_stack(frame)[-_MAX_FRAMES:])}"
        for ident, frame in stacks.items()
    )


async def _profile(seconds: int) -> str:
    """Sample the stack of the event loop's thread, whichever task runs."""
    try:
        from pyinstrument import Profiler  # noqa: PLC0415 - an extra
    except ImportError:
        return _NO_PROFILER
    profiler = Profiler(async_mode="disabled")
    with profiler:
        await asyncio.sleep(seconds)
    return await asyncio.to_thread(profiler.output_text, unicode=True)


async def _memory(seconds: int) -> str:
    """Tell what was allocated in this time and is still held; allocating is slower meanwhile."""
    already = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = await asyncio.to_thread(tracemalloc.take_snapshot)
        await asyncio.sleep(seconds)
        after = await asyncio.to_thread(tracemalloc.take_snapshot)
    finally:
        if not already:
            tracemalloc.stop()
    return "".join(await asyncio.to_thread(lambda: list(_growth(before, after))))


def _growth(before: tracemalloc.Snapshot, after: tracemalloc.Snapshot) -> Iterator[str]:
    for change in after.compare_to(before, "lineno")[:_MAX_LINES]:
        frame = change.traceback[0]
        yield (
            f"{change.size_diff / 1024:+10.1f} KiB {change.count_diff:+8} "
            f"{frame.filename}:{frame.lineno}\n"
            f"           {linecache.getline(frame.filename, frame.lineno).strip()}\n"
        )
