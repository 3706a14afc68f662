"""Django REST framework and its schema. Who may ask at all is said by `apps.orgs`."""

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.common.api.parsers.StrictJSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.common.api.permissions.HasCode"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "apps.common.openapi.ApiSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.orgs.api.authentication.ApiKeyAuthentication"],
    "EXCEPTION_HANDLER": "apps.orgs.api.errors.handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Mandate",
    "DESCRIPTION": "The control plane for AI agents: who may act, at what price, with what proof.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/v1",
    "PREPROCESSING_HOOKS": ["apps.common.openapi.only_api"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.common.openapi.add_components",
        "apps.common.openapi.lend_examples",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATION_PARAMETERS": False,
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "apps.runs.states.RunStatus",
        "StepStatus": "apps.runs.states.StepStatus",
        "AgentStatus": "apps.agents.models.AgentStatus",
        "NewAgentStatus": ["draft", "active"],
        "DomainKind": "apps.orgs.domain_models.OrgDomain.Kind",
        "DomainState": "apps.orgs.domain_models.OrgDomain.State",
        "ApprovalStatus": "apps.approvals.models.ApprovalStatus",
        "ProviderKind": "apps.agents.models.ProviderKind",
        "KeyStatus": ["active", "replaced", "expired", "revoked"],
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
