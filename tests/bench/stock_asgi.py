"""What `tests.bench.stock` has uvicorn serve."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
