"""Of the whole repository: how tests are spread over processes, the real servers that they share, and how they log."""

# Tests are imported by their path: without the package being there first, the folder chassis/ would be taken for it.
import chassis as chassis

pytest_plugins = ["by_file", "real_servers", "plain_tracebacks"]
