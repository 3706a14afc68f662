"""What can be refused about orgs and entering them."""

from apps.common.errors import Conflict, DomainError, PermissionDenied


class SlugTaken(Conflict):
    """The name's host belongs to another org, or once did."""

    code = "slug_taken"
    title = "That address is taken"


class OrgNotReady(DomainError):
    """The org is being made, suspended or closed; its data can't be reached."""

    code = "org_not_ready"
    title = "The organization can't be entered now"
    status = 403


class OrgShut(OrgNotReady):
    """The org was suspended or is being closed; it lets nobody in.

    Who was in when it was suspended is in again when it is resumed; a closing signs everyone out.
    """

    code = "org_shut"

    @property
    def may_resume(self) -> bool:
        return self.extra.get("state") == "suspended"


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


class PlanLimit(Conflict):
    """The org has as many of something as its plan allows."""

    code = "plan_limit"
    title = "The plan allows no more"

    def __init__(self, *, plan: str, of: str, limit: int) -> None:
        counted = ", open invitations included" if of == "members" else ""
        super().__init__(
            f"The plan {plan} allows {limit} {of}{counted}. "
            "Ask the operators of this installation for another plan.",
            plan=plan,
            of=of,
            limit=limit,
        )


class ReadOnlyLook(PermissionDenied):
    """An operator who looks through a member's eyes may change nothing, whatever the member may."""

    code = "read_only_look"
    title = "You only look"


class NoTenant(RuntimeError):
    """A programming error: a task or command that needs an org was started without one."""
