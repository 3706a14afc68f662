"""What a start remembers changes with everything that setting up depends on."""

from pathlib import Path

import pytest

from config.local.fingerprint import of_code


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("apps/orgs/models.py", "config/env.py", "manage.py", "requirements/base.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_same_code_is_the_same(root):
    before = of_code(root, "dev")
    (root / "apps/orgs/__pycache__").mkdir()
    (root / "apps/orgs/__pycache__/models.pyc").write_text("compiled")

    assert of_code(root, "dev") == before


@pytest.mark.parametrize(
    "name", ["apps/orgs/models.py", "config/env.py", "manage.py", "requirements/base.txt"]
)
def test_a_changed_file_is_another_code(root, name):
    before = of_code(root)
    (root / name).write_text("changed")

    assert of_code(root) != before


def test_a_new_a_moved_and_a_removed_file_and_other_settings_are_another_code(root):
    seen = {of_code(root), of_code(root, "dev")}
    (root / "apps/orgs/0001.sql").write_text("")
    seen.add(of_code(root))
    (root / "apps/orgs/0001.sql").rename(root / "apps/orgs/0002.sql")
    seen.add(of_code(root))
    (root / "manage.py").unlink()
    seen.add(of_code(root))

    assert len(seen) == 5
