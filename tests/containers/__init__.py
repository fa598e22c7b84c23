"""The image and docker-compose.yml.

By rule in `make test`, and for real in `make containers-test`.
"""
