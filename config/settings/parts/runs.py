"""How long a run belongs to an execution that has stopped saying that it lives."""

from config import env

RUN_LEASE_SECONDS = env.integer("RUN_LEASE_SECONDS", 15, least=1)
