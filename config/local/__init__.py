"""The product on one machine without installing anything: its own Postgres, Valkey, supervisor."""
