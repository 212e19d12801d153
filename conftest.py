"""Of the whole repository: how tests are spread over processes."""

pytest_plugins = ["by_file"]
