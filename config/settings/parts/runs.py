"""How long a run belongs to an execution that is silent, and how soon that is noticed."""

from config import env

RUN_LEASE_SECONDS = env.integer("RUN_LEASE_SECONDS", 15, least=1)

# How often the process `beat` looks for what nobody carries out; rows are their own outbox.
SWEEP_SECONDS = env.integer("SWEEP_SECONDS", 5, least=1)
