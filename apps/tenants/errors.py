"""What can be refused about orgs and entering them."""

from apps.common.errors import Conflict, DomainError


class SlugTaken(Conflict):
    """The name's host belongs to another org, or once did."""

    code = "slug_taken"
    title = "That address is taken"


class OrgNotReady(DomainError):
    """The org is being made, suspended or closed; its data can't be reached."""

    code = "org_not_ready"
    title = "The organization can't be entered now"
    status = 403


class DomainTaken(Conflict):
    """Another org has proved the domain before and uses it."""

    code = "domain_taken"
    title = "The domain is in use"


class ProofNeeded(DomainError):
    """The last proof of who this is was given too long ago for what is asked; `act` says what."""

    code = "proof_needed"
    title = "Confirm that it is you"
    status = 403

    def __init__(self, act: str) -> None:
        super().__init__("Sign in again, or give your second factor, and send the form again.")
        self.act = act


class NoTenant(RuntimeError):
    """A programming error: a task or command that needs an org was started without one."""
