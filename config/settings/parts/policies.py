"""Who evaluates policies (apps.policies.engine)."""

from config import env

# Children with regorus that each process may have; they are started as they are needed.
POLICY_CHILDREN = env.integer("POLICY_CHILDREN", 4, least=2)

# An evaluation that isn't done by then is given up, and the call denied as unavailable. The call is
# to be denied within 300 ms, on a machine that has other work.
POLICY_SECONDS = 0.2

# An OPA server that evaluates instead, such as http://opa:8181, and the token that it asks for.
OPA_URL = env.text("OPA_URL", "").rstrip("/")
OPA_TOKEN = env.text("OPA_TOKEN", "")
