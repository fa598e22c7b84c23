"""A simulated ManageEngine ServiceDesk Plus, API v3, on premises and cloud."""

from simulators.servicedesk.app import create_desk
from simulators.servicedesk.settings import DeskConfig, DeskSettings

__all__ = ["DeskConfig", "DeskSettings", "create_desk"]
