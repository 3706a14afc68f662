"""Cache keys that carry the org, so that no entry of one org can answer another."""

from apps.tenants import keys


def org_key(key: str, key_prefix: str, version: int) -> str:
    """Prefix the key with both of the keys in force; what belongs to nobody is `public`."""
    held = keys.current()
    return f"{held.schema}:{held.org_id or '-'}:{key_prefix}:{version}:{key}"
