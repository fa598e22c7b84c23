"""Tests of the simulators over HTTP."""
