"""Where the signed heads of the audit log are copied to, out of the database's reach."""

from config import env
from config.local.home import Home

# One folder an org, one file a month, only ever appended to.
CHECKPOINT_FOLDER = env.text("CHECKPOINT_FOLDER", str(Home.of().path / "checkpoints"))

# A receiver that every checkpoint is POSTed to, and a store that keeps each as an object of its own
# (PUT <url>/<org>/<org id>/<number>.txt, once: If-None-Match). Both over https, by the egress
# client, each with an Authorization header of its own: neither gets the other's.
CHECKPOINT_WEBHOOK = env.text("CHECKPOINT_WEBHOOK", "")
CHECKPOINT_WEBHOOK_AUTHORIZATION = env.text("CHECKPOINT_WEBHOOK_AUTHORIZATION", "")
CHECKPOINT_OBJECTS = env.text("CHECKPOINT_OBJECTS", "")
CHECKPOINT_OBJECTS_AUTHORIZATION = env.text("CHECKPOINT_OBJECTS_AUTHORIZATION", "")
