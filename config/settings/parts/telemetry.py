"""Metrics. Traces need no setting: `apps.common.telemetry` obeys the standard OTEL_ variables."""

from config import env

# Whoever may scrape /metrics; without one it is open while DEBUG and closed otherwise.
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
