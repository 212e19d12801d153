"""Of the whole repository: how tests are spread over processes, the real servers that they share, and how they log."""

from hypothesis import settings

# Tests are imported by their path: without the package being there first, the folder chassis/ would be taken for it.
import chassis as chassis

settings.register_profile("busy machine", deadline=None)  # a test measures no time that such a machine stretches
settings.load_profile("busy machine")
pytest_plugins = ["by_file", "real_servers", "plain_tracebacks"]
