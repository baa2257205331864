"""
Every class that says it provides an interface has the interface's methods, with
signatures that fit.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementedBy, implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyClass

import reitunnel


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """
    Every module of a package, imported. C{__main__} is left out: to import it
    is to run it.
    """
    yield package
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith(".__main__"):
            yield importlib.import_module(found.name)


def providers(module: ModuleType) -> Iterator[type]:
    """
    The classes defined in a module that say they provide an interface.
    """
    for _, value in inspect.getmembers(module, inspect.isclass):
        if value.__module__ == module.__name__ and list(implementedBy(value)):
            yield value


def defects(provider: type) -> list[str]:
    """
    What a class lacks of the interfaces that it says it provides.

    What a base class of another house says is left to that house: Twisted has
    classes that provide an interface by passing calls on.
    """
    house = provider.__module__.partition(".")[0]
    others = {
        interface
        for base in provider.__mro__
        if base.__module__.partition(".")[0] != house
        for interface in implementedBy(base).flattened()
    }
    found = []
    for interface in implementedBy(provider).flattened():
        if interface is Interface or interface in others:
            continue
        try:
            verifyClass(interface, provider)
        except Invalid as error:
            name = f"{provider.__module__}.{provider.__qualname__}"
            found.append(f"{name}: {error}")
    return found


class ProviderTests(SynchronousTestCase):
    def test_every_provider(self) -> None:
        found = [provider for m in modules(reitunnel) for provider in providers(m)]
        self.assertNotEqual([], found)
        self.assertEqual([], [line for each in found for line in defects(each)])

    def test_missing_method(self) -> None:
        self.assertEqual(1, len(defects(_WithoutMethod)))

    def test_wrong_signature(self) -> None:
        self.assertEqual(1, len(defects(_WithWrongSignature)))

    def test_base_of_another_house(self) -> None:
        """
        Only what the class adds to it is looked at.
        """
        self.assertTrue(defects(TLSMemoryBIOProtocol))
        self.assertEqual([], defects(_OfTwisted))

    def test_finds_this_module(self) -> None:
        here = sys.modules[__name__]
        self.assertEqual(
            {"_WithoutMethod", "_WithWrongSignature", "_Complete", "_OfTwisted"},
            {provider.__name__ for provider in providers(here)},
        )

    def test_complete(self) -> None:
        self.assertEqual([], defects(_Complete))


class _IExample(Interface):
    def method(argument: int) -> None:
        """
        Anything.
        """


@implementer(_IExample)
class _WithoutMethod:  # type: ignore[misc]  # on purpose: a method is missing
    pass


@implementer(_IExample)
class _WithWrongSignature:
    def method(self) -> None:  # type: ignore[override]  # on purpose
        pass


@implementer(_IExample)
class _Complete:
    def method(self, argument: int) -> None:
        pass


@implementer(_IExample)
class _OfTwisted(TLSMemoryBIOProtocol):
    def method(self, argument: int) -> None:
        pass
