"""
Reloads the configuration of a running program, once at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from reitunnel.errors import ReitunnelError
from reitunnel.service.exits import explain
from reitunnel.service.notices import Notices


class Reloader:
    """
    Reads the configuration again and has it taken over, and says how that went: a
    line for each mistake.
    """

    _log = Logger()

    def __init__(
        self,
        apply: Callable[[], Awaitable[Mapping[str, Sequence[str]]]],
        notices: Notices,
    ) -> None:
        """
        @param apply: reads the configuration and takes it over; gives the keys that
            have changed and do not hold yet, by what there is to say of them, with
            the field C{keys}.
        @param notices: told as well.
        """
        self._apply = apply
        self._notices = notices
        self._busy = False
        self._again = False
        self._over = False

    def ask(self) -> None:
        """
        Reload. Asked again meanwhile, it does so once more when it is done: the file
        may have changed since it was read.
        """
        if self._over:
            self._log.info("stopping, so that nothing is reloaded")
        elif self._busy:
            self._again = True
        else:
            self._busy = True
            Deferred.fromCoroutine(self._reload())

    def stop(self) -> None:
        """
        Reload no more.
        """
        self._over = True

    async def _reload(self) -> None:
        self._again = True
        while self._again and not self._over:
            self._again = False
            self._notices.reloading()
            self._notices.reloaded(await self._once())
        self._busy = False

    async def _once(self) -> str:
        """
        @return: why the old configuration stays, if it does.
        """
        try:
            kept = await self._apply()
        except ReitunnelError as error:
            lines, _ = explain(error)
            for line in lines:
                self._log.error("not reloaded: {reason}", reason=line)
            return "; ".join(lines)
        except Exception as error:
            self._log.failure("not reloaded")
            return f"{type(error).__name__}"
        self._log.info("the configuration is reloaded")
        for said, keys in kept.items():
            if keys:
                self._log.warn(said, keys=", ".join(keys))
        return ""
