from django.urls import path

from apps.agents.api import providers, views

urlpatterns = [
    path("agents", views.AgentsView.as_view()),
    path("agents/<str:agent>", views.AgentView.as_view()),
    path("agents/<str:agent>/activate", views.ActivateView.as_view()),
    path("agents/<str:agent>/suspend", views.SuspendView.as_view()),
    path("agents/<str:agent>/kill", views.KillView.as_view()),
    path("agents/<str:agent>/signing-secret", views.SigningSecretView.as_view()),
    path("agents/<str:agent>/capabilities", views.CapabilitiesView.as_view()),
    path("agents/<str:agent>/capabilities/<str:capability>", views.CapabilityView.as_view()),
    path("agents/<str:agent>/manifests", views.ManifestsView.as_view()),
    path("agents/<str:agent>/manifests/<str:version>", views.ManifestView.as_view()),
    path("agents/<str:agent>/keys", views.AgentKeysView.as_view()),
    path("agents/<str:agent>/grants", views.GrantsView.as_view()),
    path("agents/<str:agent>/grants/<str:grant>", views.GrantView.as_view()),
    path("model-providers", providers.ModelProvidersView.as_view()),
    path("model-providers/<str:provider>", providers.ModelProviderView.as_view()),
    path("model-prices", providers.ModelPricesView.as_view()),
    path("model-prices/<str:price>", providers.ModelPriceView.as_view()),
]
