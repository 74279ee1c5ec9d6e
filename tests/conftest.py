"""Random graphs a property sees: 30 by default, 500 with `--hypothesis-profile nightly`."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "plain", max_examples=30, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "nightly", max_examples=500, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("plain")
