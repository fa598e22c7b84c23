"""Tests of the simulators, through their real HTTP door."""
