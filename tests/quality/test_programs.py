"""
Tests of L{tests.programs}.
"""

from __future__ import annotations

import os
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import programs
from tests.programs import MissingProgram, require_program


class RequireProgramTests(SynchronousTestCase):
    def test_found(self) -> None:
        self.assertTrue(os.access(require_program("sh"), os.X_OK))

    def test_system_directories_are_searched(self) -> None:
        """
        A daemon is found although the caller's path leaves C{/usr/sbin} out.
        """
        directory = self.mktemp()
        os.mkdir(directory)
        program = os.path.join(directory, "daemond")
        with open(program, "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(program, 0o755)
        self.patch(os, "environ", {"PATH": "/nowhere"})
        self.patch(programs, "SYSTEM_DIRECTORIES", (directory,))
        self.assertEqual(require_program("daemond"), program)

    def test_missing_program_skips(self) -> None:
        self.patch(os, "environ", {"PATH": "/nowhere"})
        self.assertRaises(SkipTest, require_program, "no-such-program")

    def test_missing_program_fails_under_ci(self) -> None:
        self.patch(os, "environ", {"PATH": "/nowhere", "CI": "true"})
        self.assertRaises(MissingProgram, require_program, "no-such-program")
