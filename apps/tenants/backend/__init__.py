"""Django's database backend `apps.tenants.backend`: see base."""
