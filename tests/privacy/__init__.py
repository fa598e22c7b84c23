"""Tests of `privacy/`: placeholders for personal data, and restored values."""
