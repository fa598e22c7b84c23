"""What tests of several rooms share: fixtures, fakes, and helpers."""
