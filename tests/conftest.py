"""Where fixtures come from: each stands in the kit, or in its room, beside what it gives."""

pytest_plugins = [
    "tests.containers.stack",
    "tests.kit.logs",
    "tests.kit.postgres",
    "tests.kit.redis",
    "tests.kit.simulators",
    "tests.kit.spans",
    "tests.kit.system",
    "tests.kubernetes.rendering",
    "tests.simulators.doors",
]
