"""The base of every view of one org, in whichever app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar, cast

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from apps.common.api.views import ApiView
from apps.common.errors import Invalid, NotFound
from apps.orgs.principals import Principal

Found = TypeVar("Found")
_PAGING: Final = frozenset({"cursor", "limit"})


class OrgView(ApiView):
    """A view of one org; whoever gets as far as a handler is a principal of it.

    `filters` names what a list's query may hold beside its paging, `picks` what the query of a
    DELETE on a list names one of its things by. Anything else is refused: a misspelt filter would
    otherwise be answered with everything. `keeps_keys` says that the view remembers
    Idempotency-Keys by itself.
    """

    filters: ClassVar[type[Serializer[Any]] | None] = None
    picks: ClassVar[type[Serializer[Any]] | None] = None
    keeps_keys: ClassVar[bool] = False

    @property
    def by(self) -> Principal:
        return cast(Principal, self.request.auth)

    def named(self, field: str, find: Callable[[], Found]) -> Found:
        """What a field or parameter names; a name that is nobody's is the field's fault."""
        try:
            return find()
        except NotFound as error:
            raise Invalid.of(field, "There is none of that name.") from error

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not request._request.META.get("QUERY_STRING"):
            return
        known = set(_PAGING) if self.list_keyset and request.method == "GET" else set()
        named = {"GET": self.filters, "DELETE": self.picks}.get(request.method or "")
        if named:
            known |= set(named().fields)
        for name, values in request.query_params.lists():
            if name not in known:
                raise Invalid.of(name[:80], "There is no such parameter.")
            if len(values) > 1:
                raise Invalid.of(name, "Give this parameter once.")
