"""Whom the proofs of orgs' domains are asked of (apps.tenants.gateways.dns), and how often."""

from config import env

# Name servers that resolve for us, such as 192.0.2.53 or [2001:db8::53]:5353. None are those of
# the machine (/etc/resolv.conf).
DNS_SERVERS = tuple(env.addresses("DNS_SERVERS", 53))
# The whole of one lookup, all servers and tries included.
DNS_TIMEOUT_SECONDS = 4.0

# How often an org may have its domains checked by hand.
DOMAIN_CHECK_RATE = env.text("DOMAIN_CHECK_RATE", "20/10minutes")
