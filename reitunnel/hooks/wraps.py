"""
The C{wrap} key of a C{[[hooks]]} table: the wrappers around that hook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from reitunnel.config.wording import shown
from reitunnel.errors import ConfigMistake, InvalidHook
from reitunnel.hooks.calls import name_of_hook, wants
from reitunnel.hooks.holding import AggregatingHook, SampledHook
from reitunnel.hooks.off_thread import AsyncHook
from reitunnel.hooks.options import read_options
from reitunnel.interfaces import IDataHook

Wrap = Callable[[object], object]
"""Puts wrappers around a hook. Raises L{InvalidHook} if it cannot have them."""

WRAP_KEY: Final = "wrap"


class WrapOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Wrappers around a hook, from the outside in.

    @ivar sample: of how many data events of a tunnel, in one direction, one is handed
        on, with the sum of their bytes.
    @ivar aggregate: how often sums of data events are handed on, in seconds.
    @ivar queue: how many calls may wait for the hook, which is called in threads.
    @ivar workers: how many threads; without it two for each processor.
    """

    sample: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    aggregate: Annotated[float, Meta(ge=1, le=60)] | None = None
    queue: Annotated[int, Meta(ge=1000, le=10_000)] | None = None
    workers: Annotated[int, Meta(ge=1, le=256)] | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.queue is None:
            raise ValueError("workers needs queue")
        if self.sample is None and self.aggregate is None and self.queue is None:
            raise ValueError("needs one or more of sample, aggregate, queue")

    def around(self, hook: object) -> object:
        """
        Put the wrappers around a hook.

        @raise InvalidHook: if it cannot have them, or one of them would do nothing.
        """
        sums = [key for key in ("sample", "aggregate") if getattr(self, key)]
        if sums and not any(wants(hook, event) for event in IDataHook.names()):
            raise InvalidHook(
                f"{' and '.join(sums)} would do nothing: {name_of_hook(hook)} is told "
                "of no data events as it is configured"
            )
        if self.queue is not None:
            hook = AsyncHook(hook, self.queue, self.workers)
            if not hook.calls_in_threads:
                raise InvalidHook(
                    f"queue would do nothing: all calls of {name_of_hook(hook)} are "
                    "coroutines, which stay in the reactor's thread"
                )
        if self.aggregate is not None:
            hook = AggregatingHook(hook, self.aggregate)
        if self.sample is not None:
            hook = SampledHook(hook, self.sample)
        return hook


def read_wrap(value: Any, path: str, mistakes: list[ConfigMistake]) -> Wrap:
    """
    Read the wrappers of one hook.

    @param value: a table of L{WrapOptions}, or a list of such tables, the outermost
        first.
    @param path: the key's path.
    @param mistakes: every mistake found is added here.
    @return: what puts them around a hook; of no use if there is a mistake.
    """
    tables: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        tables = [(path, value)]
    elif isinstance(value, list) and value:
        tables = [(f"{path}[{index}]", table) for index, table in enumerate(value)]
    else:
        got = "an empty list" if value == [] else shown(value)
        message = f"expected a table or a list of tables, got {got}"
        mistakes.append(ConfigMistake(path, message))
    found: list[WrapOptions] = []
    for place, table in tables:
        if not isinstance(table, Mapping):
            message = f"expected a table, got {shown(table)}"
            mistakes.append(ConfigMistake(place, message))
            continue
        options = read_options(WrapOptions, table, place, mistakes)
        if isinstance(options, WrapOptions):
            found.insert(0, options)

    def wrap(hook: object) -> object:
        for options in found:
            hook = options.around(hook)
        return hook

    return wrap
