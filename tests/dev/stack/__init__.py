"""Tests of the development system, with real servers and real signals."""
