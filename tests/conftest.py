"""Where fixtures come from: each stands in the kit, beside what it gives."""

pytest_plugins = [
    "tests.kit.logs",
    "tests.kit.postgres",
    "tests.kit.redis",
    "tests.kit.simulators",
    "tests.kit.spans",
    "tests.kit.system",
]
