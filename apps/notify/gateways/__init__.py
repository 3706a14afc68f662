"""The places outside that a notice can go to, each behind the same call."""
