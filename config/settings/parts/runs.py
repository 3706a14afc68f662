"""How long a run belongs to an execution that is silent, and how soon that is noticed."""

from config import env

RUN_LEASE_SECONDS = env.integer("RUN_LEASE_SECONDS", 15, least=1)

# How often the process `beat` looks for what nobody carries out; rows are their own outbox.
SWEEP_SECONDS = env.integer("SWEEP_SECONDS", 5, least=1)

# How many event streams one key or person may hold open in a web process, and for how long: a
# client that is cut off goes on where it was.
STREAMS_A_PRINCIPAL = env.integer("STREAMS_A_PRINCIPAL", 50, least=1)
STREAM_SECONDS = env.integer("STREAM_SECONDS", 900, least=0)
