"""
A short soak, over every transport and carrier.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import TestCase

from tests.integration.faults.plan import LINK_KINDS, Kind
from tests.integration.faults.soak import Outcome, Soak, SoakPlan
from tests.integration.faults.world import CARRIERS, QUICK, TRANSPORTS

_SEED = 4


class SoakTests(TestCase):
    timeout = 400

    async def soak(self, plan: SoakPlan) -> Outcome:
        directory = Path(mkdtemp(prefix="reitunnel-soak-"))
        self.addCleanup(rmtree, directory)
        return await Soak(plan, directory).run()

    def check(self, outcome: Outcome) -> None:
        """
        See that nothing is wrong.
        """
        said = "\n".join([*outcome.lines(), *outcome.history])
        self.assertEqual([], outcome.wrong, said)

    async def test_everything(self) -> None:
        """
        Whatever goes wrong, no end of a stream takes a part for the whole or gets
        other bytes, hooks are told a close for each open, all count the same, and
        nothing is left.
        """
        ways = tuple((each, carrier) for each in TRANSPORTS for carrier in CARRIERS)
        outcome = await self.soak(
            SoakPlan(
                seconds=24, seed=_SEED, ways=ways, streams=2, every=0.3, resumes=True
            )
        )
        self.check(outcome)
        self.assertGreater(outcome.tally.outages, 0)
        self.assertGreater(sum(each.complete for each in outcome.records), 0)

    async def test_outages(self) -> None:
        """
        As long as both processes live, no stream on the control link is lost, however
        often the link is.
        """
        outcome = await self.soak(
            SoakPlan(
                seconds=4,
                seed=_SEED,
                ways=(("tls", "mux"), ("ws", "mux")),
                every=0.25,
                kinds=LINK_KINDS,
                resumes=True,
            )
        )
        self.check(outcome)
        self.assertGreater(outcome.survived, 0)
        self.assertTrue(all(each.complete for each in outcome.records), outcome.resets)

    async def test_no_harm(self) -> None:
        """
        When links are slow, and nothing worse, no stream is lost.
        """
        outcome = await self.soak(
            SoakPlan(
                seconds=2,
                seed=_SEED,
                ways=(("tls", "mux"), ("tcp", "auto")),
                kinds=(Kind.DELAY, Kind.LIMIT),
                # A slow link that is full answers late.
                terms=replace(QUICK, both={}),
            )
        )
        self.check(outcome)
        self.assertTrue(all(each.complete for each in outcome.records), outcome.resets)
        self.assertGreater(outcome.tally.faults.total(), 0)
