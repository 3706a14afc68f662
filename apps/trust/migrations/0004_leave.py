"""How the SQL of higher apps leaves a digest behind: one insert, without a lock or a number."""

from django.db import migrations

CREATE = """
create function leave(p_kind text, p_subject uuid, p_digest bytea, p_aside jsonb default null) returns void
language plpgsql as $$
begin
  insert into trust_leaf (id, kind, subject_id, digest, aside)
    values (uuidv7(), p_kind, p_subject, p_digest, p_aside);
end $$;
"""


class Migration(migrations.Migration):
    dependencies = [("trust", "0003_log")]

    operations = [migrations.RunSQL(CREATE, "drop function leave(text, uuid, bytea, jsonb);")]
