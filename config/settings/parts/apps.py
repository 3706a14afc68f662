"""Which app's tables stand where: once in `public`, or in every org's schema."""

SHARED_APPS = [
    "django_tenants",
    "apps.common",
    "apps.tenants",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "django.contrib.admin",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "template_partials",
    "csp",
    "apps.workspace",
]
TENANT_APPS = [
    "apps.trust",
    "apps.orgs",
    "apps.notify",
    "apps.approvals",
    "apps.policies",
    "apps.agents",
    "apps.runs",
]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

TENANT_MODEL = "tenants.Org"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_SYNC_ROUTER = "apps.tenants.routers.SchemaRouter"
DATABASE_ROUTERS = [TENANT_SYNC_ROUTER]
PUBLIC_SCHEMA_NAME = "public"

MIDDLEWARE = [
    "apps.common.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.tenants.middleware.HostMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.common.middleware.ErrorMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.tenants.middleware.EntryMiddleware",
    "apps.orgs.middleware.MemberMiddleware",
    "apps.orgs.middleware.ProjectMiddleware",
    "apps.tenants.middleware.ZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.tenants.middleware.SignInsMiddleware",
]
# An API call carries no cookie: nothing that stands for browsers stands before it.
API_MIDDLEWARE = [
    "apps.common.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.tenants.middleware.HostMiddleware",
    "apps.common.middleware.ErrorMiddleware",
    "apps.tenants.middleware.CallMiddleware",
]
