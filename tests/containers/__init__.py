"""The image and docker-compose.yml: by rule in `make test`, and for real in `make containers-test`."""
