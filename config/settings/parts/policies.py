"""Who evaluates policies (apps.policies.engine)."""

from config import env

# Children with regorus that each process may have; they are started as they are needed.
POLICY_CHILDREN = env.integer("POLICY_CHILDREN", 4, least=2)
