"""
What Reitunnel gives to C{twistd} and to its own plugin points.
"""

from __future__ import annotations

from twisted.application.service import ServiceMaker

from reitunnel.client.endpoint_string import TunnelEndpointParser
from reitunnel.hooks.addresses import AddressHookFactory
from reitunnel.hooks.alerts import AlertsHookFactory
from reitunnel.hooks.audit import AuditHookFactory
from reitunnel.hooks.auth import AuthHookFactory
from reitunnel.hooks.bandwidth import BandwidthHookFactory
from reitunnel.hooks.blocking import BlockHookFactory
from reitunnel.hooks.logging import LoggingHookFactory
from reitunnel.hooks.metrics import MetricsHookFactory
from reitunnel.hooks.quotas import QuotaHookFactory
from reitunnel.hooks.rate_limit import RateHookFactory
from reitunnel.hooks.remote_policy import RemotePolicyHookFactory
from reitunnel.hooks.tunnel_policy import PolicyHookFactory

service = ServiceMaker(
    "Reitunnel",
    "reitunnel.service.maker",
    "Tunnels from a public server to services behind a NAT",
    "reitunnel",
)
addresses_hook = AddressHookFactory()
alerts_hook = AlertsHookFactory()
audit_hook = AuditHookFactory()
auth_hook = AuthHookFactory()
bandwidth_hook = BandwidthHookFactory()
block_hook = BlockHookFactory()
logging_hook = LoggingHookFactory()
metrics_hook = MetricsHookFactory()
policy_hook = PolicyHookFactory()
quota_hook = QuotaHookFactory()
rate_hook = RateHookFactory()
remote_policy_hook = RemotePolicyHookFactory()
tunnel_endpoint = TunnelEndpointParser()
