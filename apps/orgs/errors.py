"""What the services of an org refuse, and why."""

from __future__ import annotations

from apps.common.errors import Conflict, DomainError, PermissionDenied


class SlugInUse(Conflict):
    """Another project of the org has this slug."""

    code = "slug_in_use"
    title = "That slug is taken"


class ProjectInUse(Conflict):
    """The project can't go: it is the default one, or something hangs on it."""

    code = "project_in_use"
    title = "The project cannot be put away"


class LastOwner(Conflict):
    """An org always has an owner, or nobody could ever manage it again."""

    code = "last_owner"
    title = "The last owner cannot go"


class RoleNameInUse(Conflict):
    """Another role of the org has this name, built in or its own."""

    code = "role_name_in_use"
    title = "That name is taken"


class RoleInUse(Conflict):
    """A role goes when nobody has it, nobody is invited to it and nothing is left to it."""

    code = "role_in_use"
    title = "The role is in use"


class BuiltInRoleStays(Conflict):
    """Built-in roles are the product's: the same everywhere, and changed by nobody."""

    code = "built_in_role"
    title = "Built-in roles cannot be changed"


class TooManyRoles(Conflict):
    """The org has as many roles of its own as it may."""

    code = "too_many_roles"
    title = "There are too many roles"


class AlreadyMember(Conflict):
    """The person is a member already."""

    code = "already_member"
    title = "This person is a member already"


class AlreadyInvited(Conflict):
    """An invitation to this address is open already; it can be sent again."""

    code = "already_invited"
    title = "This person is invited already"


class InvitationClosed(Conflict):
    """The invitation was accepted, revoked, or has expired."""

    code = "invitation_closed"
    title = "The invitation is no longer open"


class DomainExists(Conflict):
    """The org has this domain on its list already."""

    code = "domain_exists"
    title = "The domain is on the list already"


class DomainNotProved(Conflict):
    """Only a host that is proved can lead anywhere."""

    code = "domain_not_proved"
    title = "The domain is not proved"


class TooManyDomains(Conflict):
    """The org's list of domains is full."""

    code = "too_many_domains"
    title = "There are too many domains"


class KeyInactive(Conflict):
    """The key is revoked, expired or replaced, so there is nothing left to change."""

    code = "key_inactive"
    title = "The key is not active"


class BeyondOwnPower(PermissionDenied):
    """Nobody gives away more than they have; `permission` is the first that is missing."""

    code = "beyond_own_power"
    title = "You cannot give more than you have"


class IdempotencyInFlight(Conflict):
    """A request with the same Idempotency-Key is being carried out right now."""

    code = "idempotency_in_flight"
    title = "The same request is still being carried out"


class IdempotencyKeyReused(DomainError):
    """The Idempotency-Key was used before, for something else."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"
    status = 422
