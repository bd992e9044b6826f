"""Pictures to detections: no web framework, no settings, no environment variable."""
