"""The Kubernetes manifests, rendered and checked without a cluster."""
