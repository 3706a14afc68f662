"""Fields that take and give exactly what the API's description says."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.ids import public_id

_ZONED: Final = re.compile(r".+([Zz]|[+-][0-9]{2}:[0-9]{2})")


class Text(serializers.CharField):
    """A JSON string; DRF's own field would also take numbers."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """A JSON boolean; DRF's own field would also take "yes" and 1."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Whole(serializers.IntegerField):
    """A JSON integer; DRF's own field would also take "12"."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        if isinstance(data, float) and not data.is_integer():  # neither is what isn't finite
            self.fail("invalid")
        return super().to_internal_value(int(data))


class Moment(serializers.DateTimeField):
    """An RFC 3339 time with its zone; without one nobody knows when it is."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not _ZONED.fullmatch(value):
            self.fail("invalid", format="2027-01-31T12:00:00Z")
        return super().to_internal_value(value)


@extend_schema_field({"type": "string"})
class PublicId(serializers.Field):  # type: ignore[type-arg]
    """`prj_0190…`: read only."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        super().__init__(read_only=True, **options)

    def to_representation(self, value: UUID) -> str:
        return public_id(self.prefix, value)


class Strict(serializers.Serializer[Any]):
    """A body in which every name is known: a misspelt one is told and not passed over."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["Unknown field."] for name in unknown})
        return super().to_internal_value(data)
