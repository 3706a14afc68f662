"""The first page of an organization: how its agents are doing, and what is still to be done."""
